// Where rows are: only those on the screen are in the document. (With content-visibility and all rows
// in pieces, scrolling 50,000 changes took three times as long a frame.)

const rowOf = (item) => rows[item.row];

// About how long the values of an insert or delete are when listed.
function lengthOf(row) {
  let length = row.z ? 12 : 0;
  for (const [column, v] of row.v || []) length += names.columns[column].length + (v ? v.length : 4) + 3;
  return length;
}

// And how many lines they have.
const linesOf = (row) => (row.length === 0 ? 0 : row.length < (narrow.matches ? 40 : 120) ? 1 : 2);

// About how high a closed row is, in px as the style sheet has them, until it is drawn and measured.
function closedHeight(row) {
  let lines = 0;
  if (row.violation) {
    lines = 3 + linesOf(row);
  } else if (row.s) {
    const n = Math.min(row.s.length, LINES);
    lines = n * (narrow.matches ? 3 : 1) + (row.s.length > LINES ? 1 : 0) + linesOf(row);
  } else {
    lines = linesOf(row);
  }
  const side = narrow.matches && row.record ? 38 : 0;
  return 17 + 24 + side + 22 * (lines + (row.r ? row.r.length : 0) + (row.u ? row.u.length : 0));
}

function measure() {
  if (tops.length !== items.length + 1) tops = new Float64Array(items.length + 1);
  for (let i = 0; i < items.length; i++) tops[i + 1] = tops[i] + items[i].height;
  list.style.height = tops[items.length] + "px";
}

// Takes a row's own height, and returns by how much it was taken for another one.
function take(element) {
  const item = element.item, height = element.offsetHeight;
  if (!height || Math.abs(height - item.height) <= 0.5) return 0;
  const by = height - item.height;
  item.height = height;
  return by;
}

const sizes = new ResizeObserver((entries) => {
  let moved = false;
  for (const { target } of entries) if (target.isConnected && target.item && take(target)) moved = true;
  if (moved) {
    measure();
    place();
  }
});

function at(y) {
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle + 1] <= y) low = middle + 1; else high = middle;
  }
  return low;
}

const place = () => {
  for (const [i, element] of shown) element.style.transform = `translateY(${tops[i]}px)`;
};

function drop(i, element) {
  sizes.unobserve(element);
  element.remove();
  shown.delete(i);
}

function draw(anew) {
  if (anew) for (const [i, element] of shown) drop(i, element);
  // What is drawn may be higher than it was taken for, so that less of it is on the screen, or lower.
  for (let round = 0; round < 4; round++) {
    const from = -list.getBoundingClientRect().top;
    const first = at(from - AROUND), end = Math.min(items.length, at(from + window.innerHeight + AROUND) + 1);
    for (const [i, element] of shown) {
      if ((i < first || i >= end) && !element.contains(document.activeElement)) drop(i, element);
    }
    const fresh = [];
    let before = null;
    for (let i = end - 1; i >= first; i--) {
      let element = shown.get(i);
      if (!element) {
        element = article(i);
        shown.set(i, element);
        list.insertBefore(element, before);
        fresh.push(i);
      }
      before = element;
    }
    let above = 0, moved = false;
    for (const i of fresh) {
      const by = take(shown.get(i));
      if (by) moved = true;
      if (tops[i + 1] <= from) above += by;
      sizes.observe(shown.get(i));
    }
    if (!moved) break;
    measure();
    // What is on the screen stays where it is.
    if (above) window.scrollBy({ top: above, behavior: "instant" });
  }
  place();
}

function replace(i) {
  const old = shown.get(i);
  if (!old) return;
  const focused = old.contains(document.activeElement) ? document.activeElement.dataset.does || "row" : "";
  const fresh = article(i);
  sizes.unobserve(old);
  old.replaceWith(fresh);
  shown.set(i, fresh);
  sizes.observe(fresh);
  take(fresh);
  measure();
  draw(false);
  if (focused) (fresh.querySelector(`[data-does="${focused}"]`) || fresh).focus({ preventScroll: true });
}

function toggle(i) {
  items[i].open = !items[i].open;
  replace(i);
}

function select(i, focus = true) {
  const old = shown.get(current);
  current = i;
  if (old) become(old, false);
  for (let round = 0; round < 2; round++) {
    const offset = list.getBoundingClientRect().top + window.scrollY;
    const bar = getComputedStyle(tools).position === "sticky" ? tools.offsetHeight : 0;
    const top = offset + tops[i], bottom = offset + tops[i + 1];
    if (top < window.scrollY + bar) window.scrollTo(0, top - bar - 4);
    else if (bottom > window.scrollY + window.innerHeight) {
      window.scrollTo(0, Math.min(top - bar - 4, bottom - window.innerHeight + 12));
    }
    draw(false);
  }
  const element = shown.get(i);
  if (!element) return;
  become(element, true);
  if (focus) element.focus({ preventScroll: true });
}

// The current row alone is reached by the tabulator, and what can be done with it.
function become(element, is) {
  element.classList.toggle("current", is);
  element.tabIndex = is ? 0 : -1;
  for (const button of element.querySelectorAll(".decide button, .link")) button.tabIndex = is ? 0 : -1;
}
