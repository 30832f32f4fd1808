// What rows say.

// Not between the halves of one character.
const cutAt = (text, at) => (at > 0 && at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00 ? at - 1 : at);

function value(v, name, open) {
  if (v === null || v === undefined) return make("span", name + " null", "null");
  if (v === "") return make("span", name + " null", "empty");
  const limit = open ? LONG : SHORT;
  const element = make("span", name + " v");
  if (v.length <= limit) {
    element.textContent = v;
    return element;
  }
  element.textContent = v.slice(0, cutAt(v, limit)) + "…";
  if (open) element.append(showAll(element, v));
  return element;
}

const plain = (element) => {
  element.classList.remove("v");
  return element;
};

function showAll(element, text) {
  const button = make("button", "more", `show all ${number(text.length)} characters`);
  button.type = "button";
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    element.textContent = text;
    element.classList.add("long");
  });
  return button;
}

// Old and new, with what is different marked; of long values only that.
function pair(a, b, open, differ) {
  if (differ) return parted(a, b, open, differ);
  const masked = (v) => v && v.startsWith("•••");
  if (!a || !b || masked(a) || masked(b) || a === b) return [value(a, "old", open), value(b, "new", open)];
  return marked(a, b, open);
}

// Closed rows begin shortly before what is different.
function marked(a, b, open) {
  let from = 0;
  while (from < a.length && from < b.length && a[from] === b[from]) from++;
  from = cutAt(a, from);
  let tail = 0;
  while (tail < a.length - from && tail < b.length - from && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  if (tail && (a.charCodeAt(a.length - tail) & 0xfc00) === 0xdc00) tail--;
  const start = !open && from > 28 ? cutAt(a, from - 12) : 0;
  return [[a, "old"], [b, "new"]].map(([text, name]) => {
    const element = make("span", name + " v", start ? "…" : "");
    if (from + tail < Math.max(a.length, b.length) / 4) {
      element.append(text.slice(start));
      return element;
    }
    const end = text.length - tail;
    element.append(text.slice(start, from), make("mark", "", text.slice(from, end)), text.slice(end));
    return element;
  });
}

// The parts that differ, in closed rows the first ones.
function parted(a, b, open, { parts, more }) {
  const sides = [make("span", "old v"), make("span", "new v")];
  const few = open ? parts : parts.slice(0, PARTS);
  for (const [path, old, now] of few) {
    const nothing = (v) => (v === null ? make("i", "", "nothing") : v);
    const both = old === null || now === null ? [[nothing(old)], [nothing(now)]] : marked(old, now, true).map((side) => side.childNodes);
    sides.forEach((side, i) => {
      const part = side.appendChild(make("span", "part", path && path + ": "));
      part.append(...both[i]);
    });
  }
  const hidden = parts.length - few.length;
  if (hidden) sides[1].append(make("span", "part", `… and ${hidden} more`));
  else if (more) sides[1].append(make("span", "part", more));
  if (open) [a, b].forEach((text, i) => { if (text.length > LONG) sides[i].append(showAll(sides[i], text)); });
  return sides;
}

function keyOf(row) {
  const element = make("span", "key");
  row.k.forEach(([column, v], i) => {
    if (i) element.append(" ");
    if (row.k.length > 1) element.append(make("i", "", names.columns[column] + " "));
    element.append(v === null ? make("i", "", "null") : v.length > KEY ? v.slice(0, cutAt(v, KEY)) + "…" : v);
  });
  if (!row.k.length) element.append(make("i", "", "no key"));
  return element;
}

const origin = ([object, at]) => names.objects[object] + (at === null ? "" : "#" + at);

// Where a row or the rows alike come from.
function sources(item) {
  const members = membersOf(item);
  const first = rows[members[0]].f;
  if (!first.length) return "";
  if (members.length === 1) return "from " + first.map(origin).join(", ");
  const files = new Set();
  for (const i of members) for (const [object] of rows[i].f) files.add(object);
  const where = files.size === 1 ? "of the same file" : `in ${number(files.size)} files`;
  return `from ${origin(first[0])}, and ${number(members.length - 1)} more ${where}`;
}

// The group of a row; of rows alike that of the first, and how many more there are.
function groupsOf(item) {
  const groups = new Set(membersOf(item).map((i) => rows[i].b));
  const more = groups.size - 1, first = names.groups[rowOf(item).b];
  return more ? `${first} and ${number(more)} more ${more === 1 ? "group" : "groups"}` : first;
}

const membersOf = (item) => (item.alike ? [item.row, ...item.alike] : [item.row]);

const plainKey = (row) => row.k.map(([c, v]) => `${names.columns[c]} ${v === null ? "null" : v.slice(0, KEY)}`).join(", ");

function article(i) {
  const item = items[i], row = rowOf(item), open = item.open;
  const element = make("article", "row" + (open ? " open" : "") + (i === current ? " current" : ""));
  element.item = item;
  element.dataset.item = i;
  element.tabIndex = i === current || (current < 0 && i === 0) ? 0 : -1;
  element.ariaPosInSet = i + 1;
  element.ariaSetSize = items.length;
  element.ariaLabel = `${ACTIONS[row.a]}, ${names.tables[row.t]}, ${plainKey(row)}`
    + (item.alike ? `, and ${item.alike.length} more alike` : "")
    + (row.record && common(item, "decision") ? `, ${DECIDED[common(item, "decision")]}` : "");
  const sign = make("button", "sign " + ACTIONS[row.a], SIGNS[row.a]);
  sign.type = "button";
  sign.tabIndex = -1;
  sign.title = ACTIONS[row.a];
  sign.ariaExpanded = String(open);
  sign.ariaLabel = open ? "close" : "open";
  const title = make("div", "title");
  title.append(make("span", "table", names.tables[row.t]), keyOf(row));
  if (item.alike) title.append(make("span", "count", `and ${number(item.alike.length)} ${!row.violation ? "alike" : item.alike.length === 1 ? "more record" : "more records"}`));
  const notes = [];
  if (row.b !== undefined) notes.push(groupsOf(item));
  if (row.s && names.widths[row.t]) notes.push(`${row.s.length} of ${names.widths[row.t]} columns`);
  if (row.note) notes.push(row.note);
  if (notes.length) title.append(make("span", "dim", notes.join(" · ")));
  element.append(sign, title, side(item, row, i === current));
  body(element, row, open);
  if (row.violation || open) {
    const from = sources(item);
    if (from) element.append(make("p", "from", from));
  }
  remarks(element, item, open);
  if (open && item.alike) element.append(alike(membersOf(item)));
  return element;
}

// What can be done with a row, and the link to it.
function side(item, row, reached) {
  const element = make("div", "side");
  if (row.record) element.append(buttons(item, reached));
  const link = make("a", "link", "#" + row.n);
  link.href = address(row.n);
  link.tabIndex = reached ? 0 : -1;
  link.title = "Link to this row";
  element.append(link);
  return element;
}

// What a row that comes back holds beside what changes.
const BEFORE = "as before: ";

function body(element, row, open) {
  const said = (name) => element.appendChild(make("div", "said" + (name ? " " + name : "")));
  if (row.violation) {
    const v = row.violation;
    const line = said();
    line.append(make("b", "", v.kind), v.field === null ? " " : ` ${names.columns[v.field]} `);
    if (v.old !== null) {
      const [old, given] = pair(v.old, v.given, open, v.differ);
      line.append(old, " → ", given, " ");
    } else if (v.given !== null) line.append(value(v.given, "old", open), " ");
    line.append(`(${v.effect})`);
    said().append(plain(value(v.why, "", open)));
  }
  if (row.s) {
    for (const [column, a, b] of open ? row.s : row.s.slice(0, LINES)) {
      const line = element.appendChild(make("div", "line"));
      line.append(make("span", "name", names.columns[column]), ...pair(a, b, open, row.d && row.d[column]));
    }
    if (!open && row.s.length > LINES) said().append(`and ${row.s.length - LINES} more columns`);
  }
  const values = row.v || [], nulls = row.z || [];
  if (values.length && open) {
    if (row.s) said().append(BEFORE);
    for (const [column, v] of values) {
      const line = element.appendChild(make("div", "line"));
      const sides = row.s ? [value(v, "", true), make("span")] : row.a === 1 ? [value(v, "old", true), make("span")] : [make("span"), value(v, "new", true)];
      line.append(make("span", "name", names.columns[column]), ...sides);
    }
  } else if (values.length || nulls.length) {
    const line = said(linesOf(row) > 1 ? "two" : "");
    if (row.s) line.append(BEFORE);
    values.slice(0, 40).forEach(([column, v], i) => {
      line.append((i ? ", " : "") + names.columns[column] + " ", value(v, "", false));
    });
    if (nulls.length) line.append((values.length ? ", " : "") + `${number(nulls.length)} null`);
  }
  if (open && nulls.length) said().append(`${number(nulls.length)} null: ${nulls.map((c) => names.columns[c]).join(", ")}`);
  for (const why of row.u || []) said("unusual").append(make("b", "", "unusual "), plain(value(why, "", open)));
  for (const [column, given] of row.r || []) {
    said().append(`${names.columns[column]} was given as `, value(given, "", open), " and is stored otherwise");
  }
}

function alike(members) {
  const keys = make("ul", "keys-alike");
  const add = (from) => {
    const end = Math.min(from + 200, members.length);
    for (const i of members.slice(from, end)) {
      const link = make("a", "v", rows[i].k.map((k) => (k[1] === null ? "null" : k[1].slice(0, KEY))).join(" ") || `#${rows[i].n}`);
      link.href = address(rows[i].n);
      const item = keys.appendChild(make("li"));
      item.append(link);
      const broken = rows[i].violation;
      if (broken && broken.given !== null) item.append(" ", value(broken.given, "old", false));
      if (rows[i].b !== undefined) item.append(" ", make("span", "group", names.groups[rows[i].b]));
      if (rows[i].f.length) item.append(" ", make("span", "dim", rows[i].f.map(origin).join(", ")));
    }
    if (end === members.length) return;
    const button = make("button", "more", `${number(members.length - end)} more`);
    button.type = "button";
    const last = keys.appendChild(make("li"));
    last.append(button);
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      last.remove();
      add(end);
    });
  };
  add(0);
  return keys;
}
