// From a panel of the shipped JSON and a Prometheus to the data frames that Grafana's own components draw.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createDataFrame,
  createTheme,
  FieldType,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
  FieldColorModeId,
} from '@grafana/data';
import { getAllStandardFieldConfigs } from './fields.js';
import { lastValueFrom } from 'rxjs';

export const theme = createTheme({ colors: { mode: 'dark' } });

standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(standardTransformers).map((transformer) => [transformer.id, transformer])).values()].map((transformer) => ({
    id: transformer.id,
    name: transformer.name,
    transformation: async () => transformer,
    editor: () => null,
  }))
);
standardFieldConfigEditorRegistry.setInit(getAllStandardFieldConfigs);

/** A variable's value as Grafana would put it into a query. */
function fill(text, variables) {
  return text.replace(/\$\{?(\w+)\}?/g, (whole, name) => variables[name] ?? whole);
}

async function ask(path, parameters) {
  const answer = await fetch(`/prometheus/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const body = await answer.json();
  if (body.status !== 'success') throw new Error(body.error);
  return body.data.result;
}

function legendOf(format, labels) {
  if (!format) return Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(', ');
  return format.replace(/\{\{(\w+)\}\}/g, (_, name) => labels[name] ?? '');
}

/** One frame per series, or one table. */
async function framesOf(target, variables, range, step) {
  const query = fill(target.expr, variables);
  if (!target.instant) {
    const result = await ask('query_range', { query, start: range.from, end: range.to, step });
    const times = Array.from({ length: Math.floor((range.to - range.from) / step) + 1 }, (_, at) => range.from + at * step);
    return result.map((series) => {
      const values = new Map(series.values.map(([time, value]) => [Math.round(time), Number(value)]));
      return createDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000) },
          {
            name: 'Value',
            type: FieldType.number,
            labels: series.metric,
            values: times.map((time) => values.get(Math.round(time)) ?? null),
            config: { displayNameFromDS: legendOf(target.legendFormat, series.metric) },
          },
        ],
      });
    });
  }
  const result = await ask('query', { query, time: range.to });
  if (target.format === 'table') {
    if (result.length === 0) return [];
    const names = [...new Set(result.flatMap((series) => Object.keys(series.metric)))].sort();
    return [
      createDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, values: result.map((series) => series.value[0] * 1000) },
          ...names.map((name) => ({ name, type: FieldType.string, values: result.map((series) => series.metric[name] ?? '') })),
          { name: 'Value', type: FieldType.number, values: result.map((series) => Number(series.value[1])) },
        ],
      }),
    ];
  }
  return result.map((series) =>
    createDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: [series.value[0] * 1000] },
        {
          name: 'Value',
          type: FieldType.number,
          labels: series.metric,
          values: [Number(series.value[1])],
          config: { displayNameFromDS: legendOf(target.legendFormat, series.metric) },
        },
      ],
    })
  );
}

/** What a panel shows: its frames, transformed, with units, thresholds, colours and names applied. */
export async function load(panel, variables, range) {
  const step = 5;
  const groups = await Promise.all(panel.targets.map((target) => framesOf(target, variables, range, step)));
  let frames = groups.flat();
  const tables = panel.targets.filter((target) => target.format === 'table');
  if (tables.length > 1) {
    for (const frame of frames) {
      for (const field of frame.fields) if (field.name === 'Value') field.name = `Value #${frame.refId}`;
    }
  }
  if (panel.transformations?.length && frames.length) {
    const context = { interpolate: (text) => text };
    frames = await lastValueFrom(transformDataFrame(panel.transformations, frames, context));
  }
  const fieldConfig = structuredClone(panel.fieldConfig);
  fieldConfig.defaults.color ??= { mode: FieldColorModeId.Thresholds };
  const shown = applyFieldOverrides({
    data: frames,
    fieldConfig,
    fieldConfigRegistry: standardFieldConfigEditorRegistry,
    replaceVariables: (text) => fill(text, variables),
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(shown);
  return shown;
}
