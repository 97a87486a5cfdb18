// Makes ECharts options of a report's figures. The page runs it in the browser, the program for SVG files.
'use strict';

const charts = (() => {
  const { runColours, looks, font, escape, clean, shortened, clipped, colour, shown } = formats;
  const symbols = ['circle', 'rect', 'triangle', 'diamond'];
  const dashes = ['solid', 'dashed', 'dotted'];
  const mostSymbols = 60; // of a line
  const mostOfAll = 2000; // of a chart's lines together
  const mostThick = 20; // lines
  const mostBars = 120;
  const mostLetters = 14; // of a category's name
  const roomBelow = 700; // for the names of categories side by side, in a chart of common width
  const mostRows = 5; // of a legend, before it has pages

  const scaled = (value, axis) => (value === null || value === undefined ? null : axis.form === 'percent' ? 100 * value : value);

  // The points of a series in the units of the screen; those of ranks stand once in the figure, a column an exit.
  function pointsOf(figure, series) {
    if (series.columns) {
      const [x, y] = series.columns.map(column => figure.columns[column]);
      return x.map((value, k) => ({ x: value, y: y[k] }));
    }
    return series.points.map(p => ({
      x: scaled(p.x, figure.x), y: scaled(p.y, figure.y), low: scaled(p.low, figure.y), high: scaled(p.high, figure.y), label: p.label,
    }));
  }

  // Where a point stands on the horizontal axis, as text.
  const placeOf = (figure, view, point) => (figure.x.form === 'category' ? view.categories[point.x] : shown(point.x, figure.x.form));

  // A tooltip's name and lines of pairs.
  const tip = (name, lines) => `<b>${escape(clipped(name))}</b>`
    + lines.map(([what, text]) => `<br>${escape(what)}: ${escape(text)}`).join('');

  function tooltip(figure, view, series, point) {
    const x = `<br>${escape(figure.x.name)}: ${escape(placeOf(figure, view, point))}`;
    const range = point.low === null || point.low === undefined
      ? '' : ` (${shown(point.low, figure.y.form)} to ${shown(point.high, figure.y.form)})`;
    return `<b>${escape(clipped(series.name))}</b>${point.label ? '<br>' + escape(point.label) : ''}${x}`
      + `<br>${escape(figure.y.name)}: ${shown(point.y, figure.y.form)}${range}`;
  }

  const hasRange = points => points.some(p => p.low !== null && p.low !== undefined);

  // The band between the low and high ends of a line's points.
  function band(series, points, ink) {
    const ends = points.filter(p => p.low !== null && p.low !== undefined);
    return {
      type: 'custom', name: series.name, silent: true, clip: true, z: 1, tooltip: { show: false }, itemStyle: { color: ink },
      encode: { x: 0, y: [1, 2] }, data: ends.map(p => [p.x, p.low, p.high]),
      renderItem: (params, api) => params.dataIndex > 0 ? null : {
        type: 'polygon', silent: true, style: { fill: ink, opacity: 0.18 },
        shape: { points: [...ends.map(p => api.coord([p.x, p.high])), ...ends.map(p => api.coord([p.x, p.low])).reverse()] },
      },
    };
  }

  // The ranges of points that no line joins, or of bars, of which place of many stand side by side.
  function whiskers(series, points, ink, place, many) {
    const ends = points.filter(p => p.low !== null && p.low !== undefined);
    return {
      type: 'custom', name: series.name, silent: true, clip: true, z: 4, tooltip: { show: false }, itemStyle: { color: ink },
      encode: { x: 0, y: [1, 2] }, data: ends.map(p => [p.x, p.low, p.high]),
      renderItem: (params, api) => {
        const [low, high] = [api.coord([api.value(0), api.value(1)]), api.coord([api.value(0), api.value(2)])];
        const x = many === 0 ? low[0] : low[0] + api.size([1, 0])[0] * barShare * ((place + 0.5) / many - 0.5);
        const line = (x1, y1, x2, y2) => ({
          type: 'line', silent: true, shape: { x1, y1, x2, y2 }, style: { stroke: ink, lineWidth: 1.5 },
        });
        const caps = [low, high].map(end => line(x - 3, end[1], x + 3, end[1]));
        return { type: 'group', children: [line(x, low[1], x, high[1]), ...caps] };
      },
    };
  }
  const barShare = 0.7; // of a category's width

  // Where bars go both ways, the line that they start at.
  function zero(points, look) {
    return !points.some(p => p.y < 0) ? undefined : {
      silent: true, symbol: 'none', animation: false, label: { show: false },
      lineStyle: { color: look.text, type: 'solid', width: 1 }, data: [{ yAxis: 0 }],
    };
  }

  function marks(view, look) {
    return !view.marks ? undefined : {
      silent: true, symbol: 'none', animation: false, lineStyle: { color: look.axis, type: 'dashed' },
      label: { color: look.faint, fontFamily: font, formatter: p => p.name, position: 'insideEndTop' },
      data: view.marks.map(mark => ({ xAxis: mark.x, name: mark.label })),
    };
  }

  function line(figure, view, series, points, ink, marked) {
    const { index, scheme } = series.colour;
    const isGuide = scheme === 'guide';
    const all = view.series.reduce((sum, other) => sum + (other.points || []).length, 0);
    return {
      type: 'line', name: series.name, z: 3, connectNulls: false, showSymbol: !isGuide && points.length <= mostSymbols && all <= mostOfAll,
      symbol: series.foreign ? 'diamond' : symbols[index % symbols.length], symbolSize: series.foreign ? 12 : 7,
      lineStyle: {
        color: ink, width: isGuide ? 1.5 : view.series.length > mostThick ? 1 : 2,
        type: series.foreign || isGuide ? 'dotted' : dashes[Math.floor(index / 7) % dashes.length],
      },
      itemStyle: { color: ink }, emphasis: { focus: 'series' }, markLine: marked,
      data: points.map(p => ({ value: [p.x, p.y], point: p })),
      tooltip: { formatter: at => tooltip(figure, view, series, at.data.point) },
    };
  }

  function scatter(figure, view, series, points, ink) {
    return {
      type: 'scatter', name: series.name, symbolSize: 4, itemStyle: { color: ink, opacity: 0.55 },
      data: points.map(p => [p.x, p.y]),
      tooltip: { formatter: at => tooltip(figure, view, series, { x: at.value[0], y: at.value[1] }) },
    };
  }

  // Stripes over a colour that comes a second time.
  function stripes(series, look) {
    const again = series.colour.scheme === 'run' && series.colour.index >= runColours.light.length;
    return again ? { symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [2, 5], rotation: -Math.PI / 4, color: look.paper } : undefined;
  }

  // A point in each category, where bars would be too many to see.
  function dot(figure, view, series, points, ink) {
    return {
      type: 'scatter', name: series.name, symbol: symbols[series.colour.index % symbols.length], symbolSize: 6,
      itemStyle: { color: ink, opacity: 0.8 },
      data: points.map(p => ({ value: [p.x, p.y], point: p })),
      tooltip: { formatter: at => tooltip(figure, view, series, at.data.point) },
    };
  }

  function bar(figure, view, series, points, ink, look) {
    return {
      type: 'bar', name: series.name, stack: figure.kind === 'shares' ? 'all' : undefined,
      itemStyle: { color: ink, decal: stripes(series, look) },
      barCategoryGap: figure.kind === 'shares' ? '8%' : `${Math.round(100 * (1 - barShare))}%`, barGap: '0%',
      data: points.map(p => ({ value: p.y, point: p })), markLine: zero(points, look),
      tooltip: { formatter: at => tooltip(figure, view, series, at.data.point) },
    };
  }

  function seriesOf(figure, view, mode) {
    const many = view.series.length;
    return view.series.flatMap((series, place) => {
      const [points, ink, look] = [pointsOf(figure, series), colour(series, mode), looks[mode]];
      switch (figure.kind) {
        case 'lines':
          return [
            line(figure, view, series, points, ink, place === 0 ? marks(view, look) : undefined),
            ...(hasRange(points) ? [points.length > 1 ? band(series, points, ink) : whiskers(series, points, ink, 0, 0)] : []),
          ];
        case 'scatter':
          return [scatter(figure, view, series, points, ink)];
        default:
          if (figure.kind === 'bars' && many * points.length > mostBars) {
            return [dot(figure, view, series, points, ink)];
          }
          const ranges = hasRange(points) ? [whiskers(series, points, look.text, place, many)] : [];
          return [bar(figure, view, series, points, ink, look), ...ranges];
      }
    });
  }

  // An interval may reach beyond what a share can be; the axis does not.
  function ends(of, values) {
    if (of.form !== 'percent') {
      return { max: of.max };
    }
    return { min: Math.min(...values) < 0 ? 0 : undefined, max: Math.max(...values) > 100 ? 100 : of.max };
  }

  function axis(of, place, look, values, categories) {
    const common = {
      name: of.name, nameLocation: 'middle', nameGap: place === 'x' ? 32 : 46,
      nameTextStyle: { color: look.faint, fontFamily: font, fontSize: 13 },
      axisLabel: { color: look.faint, fontFamily: font, hideOverlap: true },
      axisLine: { show: place === 'x', onZero: false, lineStyle: { color: look.axis } },
      splitLine: { show: place === 'y', lineStyle: { color: look.line } },
    };
    if (of.form === 'category') {
      const room = categories.reduce((sum, c) => sum + 12 + 7 * Math.min(c.length, mostLetters), 0);
      const rotate = room > roomBelow && categories.some(c => c.length > 4) ? 45 : 0;
      const axisLabel = { ...common.axisLabel, rotate, formatter: c => shortened(c, mostLetters) };
      return { ...common, type: 'category', data: categories, nameGap: rotate ? 64 : 32, axisLabel };
    }
    common.axisLabel.formatter = value => shown(value, of.form);
    return { ...common, type: 'value', scale: !of.fromZero, minInterval: of.form === 'whole' ? 1 : undefined, ...ends(of, values) };
  }

  // The name of a view: the figure's title with what is chosen.
  const titleOf = (figure, view) => clean([figure.title, ...(view.labels || [])].join(', ') + (view.remark ? ` (${view.remark})` : ''));

  // Lines that the legend will take at a width, if it shows all names at once.
  function legendRows(view, width) {
    let [rows, at] = [1, 0];
    for (const series of view.series) {
      const needed = 45 + 7 * clipped(series.name).length;
      [rows, at] = at + needed > width - 20 && at > 0 ? [rows + 1, needed] : [rows, at + needed];
    }
    return rows;
  }

  // Legend, grid, axes and series of all figures but matrices.
  function parts(figure, view, { look, mode, width, top, titled }) {
    const needed = view.series.length > 1 || !titled ? legendRows(view, width) : 1;
    const rows = needed > mostRows ? 1 : needed;
    const heights = view.series.flatMap(series => pointsOf(figure, series)).flatMap(p => [p.y, p.low, p.high])
      .filter(value => value !== null && value !== undefined);
    return {
      legend: {
        type: rows === needed ? 'plain' : 'scroll', top: top + 2, left: 'center', formatter: clipped, data: view.series.map(s => s.name),
        textStyle: { color: look.text, fontFamily: font }, pageTextStyle: { color: look.text },
        pageIconColor: look.text, pageIconInactiveColor: look.line,
      },
      grid: { left: 64, right: 28, top: top + 14 + 24 * rows, bottom: 56 },
      xAxis: axis(figure.x, 'x', look, [], view.categories), yAxis: axis(figure.y, 'y', look, heights),
      series: seriesOf(figure, view, mode),
    };
  }

  // What ECharts draws. mode: 'light' or 'dark'; titled: with its title in the picture, for files.
  function option(figure, view, { mode, width, titled }) {
    const look = looks[mode];
    const top = titled ? 30 : 0;
    return {
      animation: false, backgroundColor: titled ? look.paper : 'transparent', textStyle: { fontFamily: font, color: look.text },
      title: titled ? {
        text: titleOf(figure, view), left: 8, top: 6, textStyle: { fontFamily: font, fontSize: 15, fontWeight: 600, color: look.text },
      } : undefined,
      tooltip: {
        trigger: 'item', confine: true, backgroundColor: look.paper, borderColor: look.axis,
        textStyle: { color: look.text, fontFamily: font, fontSize: 13 },
      },
      ...(figure.kind === 'matrix'
        ? matrices.parts(figure, view, { mode, top, tip })
        : parts(figure, view, { look, mode, width, top, titled })),
    };
  }

  // The numbers of a view as a table: its head and its rows, as text.
  function table(figure, view) {
    if (figure.kind === 'matrix') {
      return matrices.table(figure, view);
    }
    const ranged = view.series.some(series => hasRange(pointsOf(figure, series)));
    const labelled = view.series.some(series => (series.points || []).some(p => p.label));
    const head = ['', ...(labelled ? ['at'] : []), figure.x.name, figure.y.name, ...(ranged ? ['low', 'high'] : [])];
    const rows = view.series.flatMap(series => pointsOf(figure, series).map(p => [
      series.name, ...(labelled ? [p.label || ''] : []), placeOf(figure, view, p), shown(p.y, figure.y.form),
      ...(ranged ? [shown(p.low, figure.y.form), shown(p.high, figure.y.form)] : []),
    ]));
    return { head, rows };
  }

  return { option, table, titleOf };
})();
