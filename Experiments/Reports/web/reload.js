// Loads a page that imta report --watch writes anew again, while nobody works in it, and leaves it as the reader had it.
'use strict';

const reloading = (() => {
  const figures = () => [...document.querySelectorAll('figure')].filter(figure => figure.querySelector('select'));
  const folds = () => [...document.querySelectorAll('details')];

  // What a reader has opened, chosen and scrolled to; places of details may shift when a page gets new tables.
  function state() {
    return {
      scroll: scrollY,
      chosen: Object.fromEntries(figures().map(figure => [figure.id, [...figure.querySelectorAll('select')].map(select => select.value)])),
      open: folds().filter(fold => fold.open).map(nameOf),
    };
  }

  const nameOf = fold => `${fold.parentElement.id} ${fold.firstElementChild.textContent}`;

  function restore({ scroll, chosen, open }) {
    for (const figure of figures()) {
      [...figure.querySelectorAll('select')].forEach((select, k) => {
        const value = (chosen[figure.id] || [])[k];
        if (value !== select.value && [...select.options].some(option => option.value === value)) {
          select.value = value;
          select.dispatchEvent(new Event('change'));
        }
      });
    }
    for (const fold of folds().filter(fold => open.includes(nameOf(fold)))) {
      fold.open = true;
      fold.dispatchEvent(new Event('toggle')); // the browser's own comes after the scrolling
    }
    scrollTo(0, scroll);
  }

  function start(seconds) {
    const loaded = Date.now();
    let used = loaded;
    for (const name of ['pointermove', 'pointerdown', 'keydown', 'wheel', 'touchmove']) {
      addEventListener(name, () => { used = Date.now(); }, { passive: true });
    }
    const isDue = () => Date.now() - Math.max(loaded, used) >= 1000 * seconds && !document.hidden && getSelection().isCollapsed;
    const reload = () => { history.replaceState(state(), ''); location.reload(); };
    setInterval(() => { if (isDue()) { reload(); } }, 1000);
    document.addEventListener('visibilitychange', () => { if (isDue()) { reload(); } });
  }

  // Also on the page that does not reload any more, the last.
  function resume(goesOn) {
    history.scrollRestoration = goesOn ? 'manual' : 'auto';
    if (history.state) {
      restore(history.state);
      history.replaceState(null, '');
    }
  }

  return { start, resume };
})();
