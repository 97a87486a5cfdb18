// Lays out the page of a report. Everything that files said comes in as text, never as markup.
'use strict';

(() => {
  const report = JSON.parse(document.getElementById('report-data').textContent);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const print = matchMedia('print');
  // Two charts find room on a page of A4; its own width stretches them.
  const printed = { lines: [680, 300], bars: [680, 300], shares: [680, 300], scatter: [460, 400], matrix: [460, 400] };
  const mostNames = 30; // of runs that the header shows unasked
  const drawings = []; // charts that have come near the screen, and what else has colours
  const waiting = new Map(); // the others, by the places of the charts
  let printing = print.matches;

  const mode = () => (dark.matches && !printing ? 'dark' : 'light');

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  // A chart is drawn when it comes near the screen: a page of many opens at once.
  const nearby = new IntersectionObserver(
    changes => changes.filter(change => change.isIntersecting).forEach(change => begin(change.target)), { rootMargin: '500px 0px' });

  function begin(place) {
    const draw = waiting.get(place);
    waiting.delete(place);
    nearby.unobserve(place);
    drawings.push(draw);
    draw();
  }

  function table(head, rows) {
    const numeric = head.map((_, k) => rows.length > 0
      && rows.every(row => /^–?$|^(< )?[+−-]?[0-9][0-9 .,]*( [kMG])?( ± .*)?$/.test(row[k])));
    const cell = name => (text, k) => element(name, numeric[k] ? { class: 'number' } : {}, text);
    return element('div', { class: 'wide' }, element('table', {},
      element('thead', {}, element('tr', {}, ...head.map(cell('th')))),
      element('tbody', {}, ...rows.map(row => element('tr', {}, ...row.map(cell('td')))))));
  }

  // A details element whose content is made when it is opened first, and again by the function it returns.
  function folded(summary, content) {
    const place = element('div');
    const details = element('details', {}, element('summary', {}, summary), place);
    const fill = () => details.open && place.replaceChildren(content());
    details.addEventListener('toggle', fill);
    return { details, fill };
  }

  // The select elements of a figure: each offers what the views have under what is chosen before it.
  function selectors(figure, start, changed) {
    const chosen = [...start.labels];
    const selects = figure.choices.map((choice, k) => {
      const select = element('select', { 'aria-label': choice });
      select.addEventListener('change', () => { chosen[k] = select.value; offer(); changed(current()); });
      return select;
    });
    const matching = depth => figure.views.filter(view => view.labels.slice(0, depth).every((label, k) => label === chosen[k]));
    const current = () => matching(chosen.length)[0];
    function offer() {
      selects.forEach((select, k) => {
        const labels = [...new Set(matching(k).map(view => view.labels[k]))];
        chosen[k] = labels.includes(chosen[k]) ? chosen[k] : labels[0];
        select.replaceChildren(...labels.map(label => {
          const selected = label === chosen[k] ? { selected: '' } : {};
          return element('option', { value: label, ...selected }, label);
        }));
        select.value = chosen[k];
      });
    }
    offer();
    return element('div', { class: 'choices' }, ...selects.map((select, k) => element('label', {}, figure.choices[k] + ' ', select)));
  }

  function drawFigure(figure) {
    let view = figure.views[0];
    const place = element('div', { class: `chart ${figure.kind}`, role: 'img', 'aria-label': `${figure.title}. ${figure.caption}` });
    const remark = element('p', { class: 'remark' });
    const data = folded('Chart data', () => { const { head, rows } = charts.table(figure, view); return table(head, rows); });
    let chart;
    const draw = () => {
      chart = chart || echarts.init(place, null, { renderer: 'svg' });
      chart.dispatchAction({ type: 'hideTip' }); // else ECharts shows it again, in a moment, where setOption has disposed of it
      const [width, height] = printing ? printed[figure.kind] : ['auto', 'auto'];
      chart.resize({ width, height });
      chart.setOption(charts.option(figure, view, { mode: mode(), width: chart.getWidth(), titled: false }), { notMerge: true });
      const svg = place.querySelector('svg');
      printing ? svg.setAttribute('viewBox', `0 0 ${width} ${height}`) : svg.removeAttribute('viewBox');
      remark.replaceChildren(element('span', { class: 'printed' }, (view.labels || []).join(', ')), view.remark || '');
      data.fill();
    };
    waiting.set(place, draw);
    nearby.observe(place);
    return element('figure', { id: figure.id },
      element('figcaption', {}, element('h3', {}, figure.title), element('p', {}, figure.caption)),
      ...(figure.choices ? [selectors(figure, view, chosen => { view = chosen; draw(); })] : []),
      remark, place, ...(figure.missing ? [element('p', { class: 'missing' }, figure.missing)] : []), data.details);
  }

  function drawTable(block) {
    const content = () => table(block.head, block.rows);
    const caption = element('p', {}, block.caption);
    return element('div', { class: 'table', id: block.id }, ...(block.folded
      ? [folded(block.title, () => element('div', {}, caption, content())).details]
      : [element('h3', {}, block.title), caption, content()]));
  }

  const makers = {
    figure: drawFigure,
    table: drawTable,
    note: block => element('div', { class: 'note', id: block.id }, element('h3', {}, block.title), element('p', {}, block.text)),
  };

  function drawHeader() {
    const names = report.runs.map((run, index) => {
      const swatch = element('span', { class: 'swatch' });
      drawings.push(() => { swatch.style.background = formats.colour({ colour: { scheme: 'run', index } }, mode()); });
      return element('li', {}, swatch, run);
    });
    const links = report.sections.map((section, k) => element('a', { href: `#section-${k + 1}` }, section.title));
    const list = element('ul', { class: 'runs' }, ...names);
    const runs = names.length > mostNames
      ? element('details', {}, element('summary', {}, `${names.length} runs and variants`), list) : list;
    const remark = `Runs are under way; this page, written ${document.lastModified}, reloads itself.`;
    const fresh = report.reloadSeconds ? [element('p', { class: 'remark' }, remark)] : [];
    return element('header', {}, element('h1', {}, report.title), ...fresh, runs, element('nav', {}, ...links));
  }

  document.getElementById('report').append(
    drawHeader(),
    ...report.sections.map((section, k) => {
      const blocks = section.blocks.map(block => makers[block.block](block));
      return element('section', { id: `section-${k + 1}` }, element('h2', {}, section.title), ...blocks);
    }),
    element('footer', {}, report.made));

  const drawAll = () => drawings.forEach(draw => draw());
  function setPrinting(on) {
    printing = on;
    [...waiting.keys()].filter(() => on).forEach(begin);
    drawAll();
  }
  setPrinting(printing);
  dark.addEventListener('change', drawAll);
  print.addEventListener('change', event => setPrinting(event.matches));
  addEventListener('beforeprint', () => setPrinting(true));
  addEventListener('afterprint', () => setPrinting(false));
  let resized;
  addEventListener('resize', () => { clearTimeout(resized); resized = setTimeout(drawAll, 100); });
  reloading.resume(Boolean(report.reloadSeconds));
  if (report.reloadSeconds) {
    reloading.start(report.reloadSeconds);
  }
})();
