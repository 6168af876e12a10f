import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// `global` and `process` are what some libraries of Grafana expect of a browser's bundler.
export default defineConfig({
  plugins: [react()],
  define: { global: 'globalThis', 'process.env': {} },
  build: { chunkSizeWarningLimit: 20000, minify: false, target: 'esnext' },
});
