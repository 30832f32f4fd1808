// How many rows each choice of a filter would leave, the other filters being as they are.

const SKIP = 4;            // the action of rows that change nothing
const MOST_GROUPS = 1000;  // of groups, beyond which only the search finds them
const kinds = new Set();
const columnsOfTable = []; // by table, the columns that its rows name
const DECIDED = { "": "any decision", none: "not decided", accept: "accepted", leave_out: "left out", question: "in question" };

function* columnsOf(row) {
  // What comes back as it was is no change.
  for (const v of row.s ? [] : row.v || []) yield v[0];
  for (const s of row.s || []) yield s[0];
  for (const r of row.r || []) yield r[0];
  yield* row.z || [];
  if (row.violation && row.violation.field !== null) yield row.violation.field;
}

const cut = (text) => (text.length > 60 ? text.slice(0, 60) + "…" : text);

function option(value, text) {
  const element = make("option", "", cut(text));
  element.value = value;
  element.says = cut(text);
  return element;
}

// The choices of each filter; counted by told().
function offer() {
  selects.table.replaceChildren(option("", "all tables"), ...names.tables.map((t) => option(t, t)));
  const groups = names.groups.length > MOST_GROUPS ? [] : [...names.groups].sort();
  selects.group.replaceChildren(option("", "all groups"), ...groups.map((g) => option(g, g)));
  selects.group.hidden = groups.length === 0;
  selects.kind.replaceChildren(option("", "all kinds"), ...[...kinds].sort().map((kind) => option(kind, kind)));
  selects.kind.hidden = kinds.size === 0;
  selects.decided.replaceChildren(...Object.entries(DECIDED).map(([value, text]) => option(value, text)));
  offerColumns();
}

// A column is one of a table: those of the table that is chosen, or of each. To choose one of the latter
// chooses its table, too.
function offerColumns() {
  const chosen = selects.column.value;
  const table = names.tables.indexOf(selects.table.value);
  const named = (t) => [...(columnsOfTable[t] || [])].map((c) => names.columns[c]).sort();
  const first = option("", "all columns");
  if (table >= 0) {
    selects.column.replaceChildren(first, ...named(table).map((c) => option(c, c)));
  } else {
    const groups = names.tables.map((name, t) => {
      const group = make("optgroup");
      group.label = cut(name);
      for (const column of named(t)) {
        const one = group.appendChild(option(column, column));
        one.table = t;
      }
      return group;
    });
    selects.column.replaceChildren(first, ...groups.filter((group) => group.children.length));
  }
  selects.column.value = chosen;
  if (selects.column.selectedIndex < 0) selects.column.value = "";
}

function newCounts() {
  return { action: [0, 0, 0, 0, 0], table: names.tables.map(() => 0), group: names.groups.map(() => 0), kind: new Map(), decided: {}, unusual: 0, columns: [] };
}

// Counts a row in each filter that alone could hide it: `fails` of them do, `only` is the last one.
function count(counts, row, fails, only) {
  if (fails > 1) return;
  const asks = (name) => fails === 0 || only === name;
  if (asks("action")) counts.action[row.a]++;
  if (asks("table")) counts.table[row.t]++;
  if (asks("group") && row.b !== undefined) counts.group[row.b]++;
  if (asks("kind") && row.violation) counts.kind.set(row.violation.kind, (counts.kind.get(row.violation.kind) || 0) + 1);
  if (asks("decided")) {
    const decision = decisionOf(row);
    counts.decided[decision] = (counts.decided[decision] || 0) + 1;
  }
  if (asks("unusual") && row.u) counts.unusual++;
  if (!asks("column")) return;
  const of = (counts.columns[row.t] ||= new Map());
  // What is rounded is named twice.
  for (const column of row.r ? new Set(columnsOf(row)) : columnsOf(row)) of.set(column, (of.get(column) || 0) + 1);
}

// Writes the counts beside what they are of.
function told(counts) {
  for (const t of toggles) t.querySelector("b").textContent = number(counts.action[t.dataset.toggle]);
  unusual.nextElementSibling.textContent = number(counts.unusual);
  const write = (element, n) => { if (element.value !== "") element.textContent = `${element.says} (${number(n)})`; };
  for (const element of selects.table.options) write(element, counts.table[names.tables.indexOf(element.value)]);
  const groups = new Map(names.groups.map((name, i) => [name, i]));
  for (const element of selects.group.options) write(element, counts.group[groups.get(element.value)]);
  for (const element of selects.kind.options) write(element, counts.kind.get(element.value) || 0);
  for (const element of selects.decided.options) write(element, counts.decided[element.value] || 0);
  const chosen = names.tables.indexOf(selects.table.value);
  const numbers = new Map(names.columns.map((name, i) => [name, i]));
  for (const element of selects.column.options) {
    const of = counts.columns[element.table ?? chosen];
    write(element, (of && of.get(numbers.get(element.value))) || 0);
  }
}
