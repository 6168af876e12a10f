// Draws one of the shipped dashboards from a live Prometheus with Grafana's own components: a preview, not Grafana.
// The address says which: ?dashboard=overview&upstream=shop&minutes=5
import { dateTime, FieldType, formattedValueToString, getFieldDisplayName, getFieldDisplayValues, ThemeContext } from '@grafana/data';
import { BarGauge, BigValue, PortalContainer, TimeSeries, VizLegend, GlobalStyles } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { load, theme } from './data.js';

const asked = new URLSearchParams(location.search);
const WIDTH = Number(asked.get('width') ?? 1592);
const CELL = { width: WIDTH / 24, height: 38, gap: 8 };
const TITLE = 32;
const now = Math.floor(Date.now() / 5000) * 5;
const range = { from: now - 60 * Number(asked.get('minutes') ?? 5), to: now };
const timeRange = { from: dateTime(range.from * 1000), to: dateTime(range.to * 1000), raw: { from: 'now-5m', to: 'now' } };

function Nothing({ panel, width, height }) {
  return <div style={{ width, height, display: 'grid', placeItems: 'center', color: theme.colors.text.secondary }}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;
}

function values(panel, frames) {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    data: frames,
    theme,
    sparkline: panel.options.graphMode === 'area',
    timeZone: 'utc',
    replaceVariables: (text) => text,
  });
}

function Stat({ panel, frames, width, height }) {
  const shown = values(panel, frames);
  const each = width / shown.length;
  return (
    <div style={{ display: 'flex' }}>
      {shown.map((value, index) => (
        <BigValue key={index} theme={theme} width={each - 4} height={height} count={shown.length} value={value.display} sparkline={value.sparkline}
          colorMode={panel.options.colorMode} graphMode={panel.options.graphMode} justifyMode="auto" textMode={panel.options.textMode} />
      ))}
    </div>
  );
}

function Bars({ panel, frames, width, height }) {
  const shown = values(panel, frames);
  const each = Math.min(40, height / shown.length - 4);
  const longest = shown.reduce((most, value) => Math.max(most, value.display.title?.length ?? 0), 0);
  const text = shown.map((value) => formattedValueToString(value.display)).reduce((a, b) => (a.length > b.length ? a : b), '');
  return shown.map((value, index) => (
    <div key={index} style={{ marginBottom: 4 }}>
      <BarGauge theme={theme} width={width} height={each} value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)}
        orientation="horizontal" displayMode={panel.options.displayMode} showUnfilled valueDisplayMode="color" namePlacement="left"
        alignmentFactors={{ title: 'm'.repeat(longest), text, prefix: '', suffix: '' }} />
    </div>
  ));
}

/** @grafana/ui has no state timeline: bars of our own, with the texts and colours of the mappings. */
function Timeline({ panel, frames, width, height }) {
  const rows = frames.map((frame) => ({ name: getFieldDisplayName(frame.fields[1], frame, frames), time: frame.fields[0].values, field: frame.fields[1] }));
  const left = Math.min(320, 24 + 7 * Math.max(...rows.map((row) => row.name.length)));
  const each = (height - 4) / rows.length;
  const legend = new Map();
  const x = (time) => left + ((time / 1000 - range.from) / (range.to - range.from)) * (width - left);
  const bars = rows.flatMap((row, index) => {
    const spans = [];
    row.field.values.forEach((value, at) => {
      if (value === null) return;
      const last = spans.at(-1);
      if (last && last.value === value && last.end === row.time[at]) last.end = row.time[at] + 5000;
      else spans.push({ value, start: row.time[at], end: row.time[at] + 5000 });
    });
    return spans.map((span, number) => {
      const shown = row.field.display(span.value);
      legend.set(shown.text, shown.color);
      const wide = x(span.end) - x(span.start);
      return (
        <g key={`${index} ${number}`}>
          <rect x={x(span.start)} y={index * each + 2} width={wide} height={each * 0.8} fill={shown.color} opacity={0.8} />
          {wide > 9 * shown.text.length && <text x={x(span.start) + 4} y={index * each + each * 0.5 + 2} fill={theme.colors.getContrastText(theme.visualization.getColorByName(shown.color))} fontSize={12}>{shown.text}</text>}
        </g>
      );
    });
  });
  return (
    <svg width={width} height={height}>
      {rows.map((row, index) => <text key={index} x={left - 8} y={index * each + each * 0.5 + 2} textAnchor="end" fill={theme.colors.text.primary} fontSize={12}>{row.name}</text>)}
      {bars}
    </svg>
  );
}

function Draw({ panel, frames, width, height }) {
  const rows = frames.reduce((sum, frame) => sum + frame.length, 0);
  if (rows === 0 && panel.type !== 'stat') return <Nothing panel={panel} width={width} height={height} />;
  const all = { panel, frames, width, height };
  switch (panel.type) {
    case 'stat':
      return <Stat {...all} />;
    case 'bargauge':
      return <Bars {...all} />;
    case 'state-timeline':
      return <Timeline {...all} />;
    case 'table':
      return <TableNG data={frames[0]} width={width} height={height} initialSortBy={panel.options.sortBy} cellHeight="sm" timeRange={timeRange} enableVirtualization={false} />;
    default:
      return <TimeSeries frames={frames} width={width} height={height} timeRange={timeRange} timeZone="utc" legend={panel.options.legend} options={panel.options} />;
  }
}

function Panel({ panel, variables, at }) {
  const [frames, setFrames] = useState();
  const [error, setError] = useState();
  useEffect(() => {
    load(panel, variables, range).then(setFrames, setError).finally(() => document.body.dataset.loaded = Number(document.body.dataset.loaded ?? 0) + 1);
  }, []);
  if (panel.type === 'row') return <h4 style={{ position: 'absolute', left: at.left, top: at.top + 8, color: theme.colors.text.primary, font: '500 16px Inter, sans-serif' }}>{panel.title}</h4>;
  return (
    <section style={{ position: 'absolute', ...at, background: theme.colors.background.primary, border: `1px solid ${theme.colors.border.weak}`, borderRadius: 2 }}>
      <div style={{ height: TITLE, padding: '6px 8px', font: '500 14px Inter, sans-serif', whiteSpace: 'nowrap', overflow: 'hidden', color: theme.colors.text.primary }}>{panel.title}{panel.hop ? `: ${panel.hop}` : ''}</div>
      <div style={{ padding: '0 8px', height: at.height - TITLE - 8, overflow: 'hidden', color: theme.colors.text.primary }}>
        {error ? String(error) : frames && <Draw panel={panel} frames={frames} width={at.width - 18} height={at.height - TITLE - 10} />}
      </div>
    </section>
  );
}

/** A panel that repeats stands once for each hop, side by side. */
function expand(panels, hops) {
  return panels.flatMap((panel) => {
    if (!panel.repeat) return [panel];
    const w = Math.floor(24 / hops.length);
    return hops.map((hop, index) => ({ ...panel, id: `${panel.id}-${hop}`, hop, gridPos: { ...panel.gridPos, x: index * w, w } }));
  });
}

function Dashboard({ dashboard, variables, hops }) {
  const panels = expand(dashboard.panels, hops);
  const bottom = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  document.body.dataset.panels = panels.filter((panel) => panel.type !== 'row').length;
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PortalContainer />
      <main style={{ position: 'relative', width: WIDTH, height: bottom * CELL.height + 60, background: theme.colors.background.canvas }}>
        <h3 style={{ padding: 12, color: theme.colors.text.primary, font: '500 20px Inter, sans-serif' }}>{dashboard.title}{asked.get('upstream') ? `: ${asked.get('upstream')}` : ''} <small style={{ color: theme.colors.text.secondary }}>preview, drawn outside Grafana</small></h3>
        {panels.map((panel) => {
          const { x, y, w, h } = panel.gridPos;
          const at = { left: x * CELL.width + CELL.gap / 2, top: y * CELL.height + 52, width: w * CELL.width - CELL.gap, height: h * CELL.height - CELL.gap };
          return <Panel key={panel.id} panel={panel} at={at} variables={{ ...variables, ...(panel.hop ? { hop: panel.hop } : {}) }} />;
        })}
      </main>
    </ThemeContext.Provider>
  );
}

const upstream = asked.get('upstream') ?? '.+';
const variables = { job: '.+', instance: '.+', node_job: '.+', node: '.+', upstream, hop: '.+', gateway: '.+', __rate_interval: asked.get('rate') ?? '20s', __range: `${range.to - range.from}s` };
const dashboard = await (await fetch(`/dashboards/${asked.get('dashboard') ?? 'overview'}.json`)).json();
const found = await (await fetch(`/prometheus/api/v1/query?${new URLSearchParams({ query: `count by (hop) (badgateway_rounds_total{upstream=~"${upstream}"})` })}`)).json();
const hops = found.data.result.map((series) => series.metric.hop).sort();
createRoot(document.getElementById('root')).render(<Dashboard dashboard={dashboard} variables={variables} hops={hops} />);
