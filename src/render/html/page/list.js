// Where rows are: only those on the screen are in the document. (With content-visibility and all rows
// in pieces, scrolling 50,000 changes took three times as long a frame.)

const rowOf = (item) => rows[item.row];

const listed = (row) => (row.v || []).filter((v) => row.a !== 1 || v[1] !== null);

// About how long the values of an insert or delete are when listed.
function lengthOf(row) {
  let length = 0;
  for (const [column, v] of listed(row)) length += names.columns[column].length + (v ? v.length : 4) + 3;
  return length;
}

// And how many lines they have.
const linesOf = (row) => (row.length === 0 ? 0 : row.length < (narrow.matches ? 40 : 120) ? 1 : 2);

function closedHeight(row) {
  let lines = 0;
  if (row.violation) {
    lines = 2 + linesOf(row);
  } else if (row.s) {
    const n = row.s.length > LINES ? LINES + 1 : row.s.length;
    const each = narrow.matches ? 3 : 1;
    lines = row.s.length > LINES ? LINES * each + 1 : n * each;
  } else if (row.v) {
    lines = linesOf(row);
  }
  return FRAME + TITLE + LINE * (lines + (row.r ? row.r.length : 0) + (row.u ? row.u.length : 0));
}

function measure() {
  tops = new Float64Array(items.length + 1);
  for (let i = 0; i < items.length; i++) {
    const item = items[i];
    tops[i + 1] = tops[i] + item.height;
  }
  list.style.height = tops[items.length] + "px";
}

const sizes = new ResizeObserver((entries) => {
  let moved = false;
  for (const { target } of entries) {
    const item = target.item;
    if (!item || !item.open || !target.isConnected) continue;
    const height = target.offsetHeight;
    if (height && Math.abs(height - item.height) > 0.5) {
      item.height = height;
      moved = true;
    }
  }
  if (moved) {
    measure();
    draw(false);
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

function draw(anew) {
  if (anew) {
    for (const element of shown.values()) element.remove();
    shown.clear();
    sizes.disconnect();
  }
  const from = window.scrollY - (list.getBoundingClientRect().top + window.scrollY);
  const first = at(from - AROUND), end = Math.min(items.length, at(from + window.innerHeight + AROUND) + 1);
  for (const [i, element] of shown) {
    if ((i < first || i >= end) && !element.contains(document.activeElement)) {
      sizes.unobserve(element);
      element.remove();
      shown.delete(i);
    }
  }
  let before = null;
  for (let i = end - 1; i >= first; i--) {
    let element = shown.get(i);
    if (!element) {
      element = article(i);
      shown.set(i, element);
      list.insertBefore(element, before);
      if (items[i].open) sizes.observe(element);
    }
    element.style.transform = `translateY(${tops[i]}px)`;
    before = element;
  }
}

function replace(i) {
  const old = shown.get(i);
  if (!old) return;
  const focused = old.contains(document.activeElement);
  const fresh = article(i);
  sizes.unobserve(old);
  old.replaceWith(fresh);
  shown.set(i, fresh);
  if (items[i].open) sizes.observe(fresh);
  items[i].height = items[i].open ? fresh.offsetHeight : closedHeight(rowOf(items[i]));
  measure();
  draw(false);
  if (focused) fresh.focus({ preventScroll: true });
}

function toggle(i) {
  items[i].open = !items[i].open;
  replace(i);
}

function select(i, focus = true) {
  const old = shown.get(current);
  if (old) {
    old.classList.remove("current");
    old.tabIndex = -1;
  }
  current = i;
  const offset = list.getBoundingClientRect().top + window.scrollY;
  const bar = getComputedStyle(tools).position === "sticky" ? tools.offsetHeight : 0;
  const top = offset + tops[i], bottom = offset + tops[i + 1];
  if (top < window.scrollY + bar) window.scrollTo(0, top - bar - 4);
  else if (bottom > window.scrollY + window.innerHeight) {
    window.scrollTo(0, Math.min(top - bar - 4, bottom - window.innerHeight + 12));
  }
  draw(false);
  const element = shown.get(i);
  if (!element) return;
  element.classList.add("current");
  element.tabIndex = 0;
  if (focus) element.focus({ preventScroll: true });
}
