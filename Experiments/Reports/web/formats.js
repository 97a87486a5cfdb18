// Colours, fonts, numbers and names as all charts show them.
'use strict';

const formats = (() => {
  // Okabe and Ito's colours, which readers with any colour vision can tell apart; lighter ones for dark pages.
  const runColours = {
    light: ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#333333'],
    dark: ['#5aaeea', '#ff8f57', '#35c79c', '#e3a5c8', '#f2b632', '#8ed3f7', '#dddddd'],
  };
  const viridis = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const looks = {
    light: { text: '#222', faint: '#666', line: '#ddd', axis: '#888', paper: '#fff' },
    dark: { text: '#e4e4e4', faint: '#a8a8a8', line: '#3a3d42', axis: '#888', paper: '#17191c' },
  };
  const font = 'system-ui, -apple-system, Segoe UI, Roboto, Liberation Sans, sans-serif'; // without quotes: ECharts does not escape it

  const escape = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
  const clean = text => text.replace(/[\u0000-\u001f\ufffe\uffff]/g, ' '); // no file of SVG may hold these
  const shortened = (text, most) => (text.length > most ? clean(text).slice(0, most - 1) + '…' : clean(text));
  const clipped = text => shortened(text, 48);
  const digits = (value, count) => String(Number(value.toPrecision(count)));

  function colour(series, mode) {
    const { scheme, index, count } = series.colour;
    if (scheme === 'guide') {
      return looks[mode].axis;
    }
    if (scheme === 'run') {
      return runColours[mode][index % runColours[mode].length];
    }
    const [from, to] = mode === 'dark' ? [0.3, 1] : [0, 0.85];
    const at = (from + (to - from) * (count > 1 ? index / (count - 1) : 0)) * (viridis.length - 1);
    const low = Math.min(Math.floor(at), viridis.length - 2);
    const mixed = viridis[low].map((part, k) => Math.round(part + (viridis[low + 1][k] - part) * (at - low)));
    return `rgb(${mixed.join(',')})`;
  }

  // Numbers as an axis of that form shows them.
  function shown(value, form) {
    if (value === null || value === undefined) {
      return '';
    }
    if (form === 'count') {
      const [unit, name] = [[1e9, ' G'], [1e6, ' M'], [1e3, ' k'], [1, '']].find(([least]) => Math.abs(value) >= least) || [1, ''];
      return digits(value / unit, 4) + name;
    }
    return digits(value, form === 'percent' ? 4 : 5);
  }

  return { runColours, looks, font, escape, clean, shortened, clipped, colour, shown };
})();
