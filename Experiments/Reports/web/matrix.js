// Makes the parts of ECharts options that a matrix of counts has of its own: a heat map of the shares of each row.
'use strict';

const matrices = (() => {
  const { looks, font, shortened } = formats;
  const mostLabels = 12; // of columns whose cells have room for a number
  const inks = { light: ['#ffffff', '#0072b2'], dark: ['#17191c', '#5aaeea'] };
  const strong = { light: '#ffffff', dark: '#17191c' }; // of a number on a full cell

  // The cells of a view: their places, counts and shares of the row in percent.
  function cells(view) {
    return view.series[0].counts.flatMap((row, y) => {
      const all = row.reduce((sum, count) => sum + count, 0);
      return row.map((count, x) => ({ x, y, count, share: all === 0 ? null : 100 * count / all }));
    });
  }

  const rowsOf = view => view.categories.slice(0, view.series[0].counts.length);

  const shorten = name => shortened(name, 14);

  function axis(of, look, rotate, nameGap) {
    return {
      type: 'category', name: of.name, nameLocation: 'middle', nameGap,
      nameTextStyle: { color: look.faint, fontFamily: font, fontSize: 13 },
      axisLabel: { color: look.faint, fontFamily: font, interval: 0, rotate, formatter: shorten }, axisTick: { show: false },
      axisLine: { lineStyle: { color: look.axis } }, splitLine: { show: false },
    };
  }

  // Grid, axes, colours and series; mode, top, tip: as of other charts.
  function parts(figure, view, { mode, top, tip }) {
    const look = looks[mode];
    const longest = 7 * Math.max(...view.categories.map(name => shorten(name).length));
    const isLabelled = view.categories.length <= mostLabels;
    return {
      grid: { left: 44 + longest, right: 20, top: top + 14, bottom: 44 + longest },
      xAxis: { ...axis(figure.x, look, 90, 18 + longest), data: view.categories },
      yAxis: { ...axis(figure.y, look, 0, 18 + longest), data: rowsOf(view), inverse: true },
      visualMap: { show: false, min: 0, max: 100, dimension: 2, inRange: { color: inks[mode] } },
      series: [{
        type: 'heatmap', name: view.series[0].name, itemStyle: { borderColor: look.line, borderWidth: 1 },
        data: cells(view).filter(cell => cell.share !== null).map(cell => ({
          value: [cell.x, cell.y, cell.share], cell,
          label: { show: isLabelled && cell.count > 0, color: cell.share > 50 ? strong[mode] : look.text, fontFamily: font },
        })),
        label: { formatter: at => String(Math.round(at.data.cell.share)) },
        tooltip: { formatter: at => tip(view.series[0].name, texts(figure, view, at.data.cell)) },
      }],
    };
  }

  // A cell in words, as pairs of a name and a text.
  const texts = (figure, view, cell) => [
    [figure.y.name, view.categories[cell.y]], [figure.x.name, view.categories[cell.x]], ['images', String(cell.count)],
    ['share, %', cell.share === null ? '' : String(Number(cell.share.toPrecision(4)))],
  ];

  // The cells that have images, as a table.
  function table(figure, view) {
    const rows = cells(view).filter(cell => cell.count > 0).map(cell => texts(figure, view, cell));
    return { head: [figure.y.name, figure.x.name, 'images', 'share, %'], rows: rows.map(row => row.map(([, text]) => text)) };
  }

  return { parts, table };
})();
