// The options of a field that the shipped JSON sets. Grafana registers them in its own application, not in a package.
const plain = ['unit', 'min', 'max', 'decimals', 'displayName', 'noValue', 'color', 'mappings', 'thresholds', 'links'];
const custom = [
  'align', 'filterable', 'cellOptions', 'drawStyle', 'lineWidth', 'fillOpacity', 'showPoints', 'spanNulls', 'stacking',
  'scaleDistribution', 'lineStyle', 'thresholdsStyle',
];

const option = (path, isCustom) => ({
  id: isCustom ? `custom.${path}` : path,
  path,
  name: path,
  isCustom,
  process: (value) => value,
  shouldApply: () => true,
  getItemsCount: () => 0,
  override: () => null,
  editor: () => null,
});

export function getAllStandardFieldConfigs() {
  return [...plain.map((path) => option(path, false)), ...custom.map((path) => option(path, true))];
}
