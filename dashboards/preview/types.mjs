// Holds the keys of the shipped JSON against Grafana's own types: a misspelt one is named. Values are not looked at, since
// the types want members of enums where JSON has words.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

// By path: the package's list of exports leaves these out.
const raw = './node_modules/@grafana/schema/dist/types/raw';
const folders = { stat: 'stat', timeseries: 'timeseries', table: 'table', bargauge: 'bargauge', 'state-timeline': 'statetimeline' };
const typed = (value) =>
  Array.isArray(value)
    ? `[${value.map(typed).join(', ')}]`
    : value && typeof value === 'object'
      ? `{ ${Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${typed(inner)}`).join(', ')} }`
      : `(${JSON.stringify(value)} as any)`;

const lines = [`import type * as D from '${raw}/dashboard/x/types.gen';`];
for (const [kind, folder] of Object.entries(folders)) lines.push(`import type * as ${kind.replace('-', '_')} from '${raw}/composable/${folder}/panelcfg/x/types.gen';`);
let number = 0;
for (const name of ['overview', 'upstream', 'gateway', 'exporter']) {
  const { panels, templating, annotations, ...dashboard } = JSON.parse(readFileSync(new URL(`../${name}.json`, import.meta.url)));
  const is = (type, value) => lines.push(`const ${name}_${number++}: ${type} = ${typed(value)};`);
  is('D.Dashboard', dashboard);
  // What a data source adds of its own is in no type.
  for (const { definition, ...variable } of templating.list) is('D.VariableModel', variable);
  for (const { expr, step, titleFormat, textFormat, ...annotation } of annotations.list) is('D.AnnotationQuery', annotation);
  for (const panel of panels) {
    if (panel.type === 'row') {
      is('D.RowPanel', panel);
      continue;
    }
    const of = panel.type.replace('-', '_');
    is('D.Panel', panel);
    is(`Partial<${of}.Options>`, panel.options);
    if (panel.fieldConfig.defaults.custom) is(`Partial<${of}.FieldConfig>`, panel.fieldConfig.defaults.custom);
  }
}
writeFileSync('types.gen.ts', lines.join('\n'));
const { stdout, status } = spawnSync('npx', ['tsc', '--noEmit', '--skipLibCheck', '--target', 'esnext', '--module', 'esnext', '--moduleResolution', 'bundler', 'types.gen.ts'], { encoding: 'utf8' });
for (const line of stdout.split('\n').filter(Boolean)) {
  const at = /\((\d+),/.exec(line)?.[1];
  console.error(line, at ? `\n  ${lines[at - 1].slice(0, 160)}` : '');
}
process.exit(status);
