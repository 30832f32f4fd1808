// What is asked for, which also stands in the address, and the rows that answer it.

const wants = () => ({
  q: search.value.trim(),
  table: selects.table.value,
  column: selects.column.value,
  group: selects.group.value,
  kind: selects.kind.value,
  actions: toggles.filter((t) => t.ariaPressed === "true").map((t) => ACTIONS[t.dataset.toggle]).join(","),
  alike: grouped.checked ? "" : "0",
  unusual: unusual.checked ? "1" : "",
  decided: selects.decided.value,
});
const USUAL = ACTIONS.slice(0, 4).join(",");

function address(row) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(wants())) {
    if (value && !(name === "actions" && value === USUAL)) params.set(name, value);
  }
  if (row) params.set("row", row);
  return "#" + params;
}

function want(params) {
  search.value = params.get("q") || "";
  for (const name of Object.keys(selects)) {
    if (name === "column") offerColumns();
    selects[name].value = params.get(name) || "";
    if (selects[name].selectedIndex < 0) selects[name].value = "";
  }
  const actions = (params.get("actions") || USUAL).split(",");
  for (const t of toggles) t.ariaPressed = String(actions.includes(ACTIONS[t.dataset.toggle]));
  grouped.checked = params.get("alike") !== "0";
  unusual.checked = params.get("unusual") === "1";
}

async function follow() {
  const params = new URLSearchParams(location.hash.slice(1));
  const before = JSON.stringify(wants());
  want(params);
  if (before !== JSON.stringify(wants()) || !items.length) await refresh(false);
  if (params.has("row")) await goTo(Number(params.get("row")));
}

async function goTo(place) {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].n < place) low = middle + 1; else high = middle;
  }
  const row = rows[low];
  if (!row || row.n !== place) {
    state.textContent = `Row ${place} of the plan is not on this page.`;
    return;
  }
  const holds = (item) => item.row === low || (item.alike !== null && item.alike.includes(low));
  let at = items.findIndex(holds);
  if (at < 0 || items[at].alike) {
    if (at < 0) want(new URLSearchParams({ actions: USUAL + (row.a === SKIP ? ",skip" : "") }));
    grouped.checked = false;
    await refresh(false);
    at = items.findIndex((item) => item.row === low);
  }
  if (at < 0) return;
  select(at);
  if (!items[at].open) toggle(at);
  select(at);
}

function hasColumn(row, column) {
  for (const one of columnsOf(row)) if (one === column) return true;
  return false;
}

async function refresh(tell = true) {
  const mine = ++turn;
  const asked = wants();
  list.ariaBusy = "true";
  began = performance.now();
  const q = asked.q.toLowerCase();
  const table = asked.table === "" ? -1 : names.tables.indexOf(asked.table);
  const group = asked.group === "" ? -1 : names.groups.indexOf(asked.group);
  const column = asked.column === "" ? -1 : names.columns.indexOf(asked.column);
  const actions = ACTIONS.map((a) => asked.actions.split(",").includes(a));
  // Violations of all tables, then deletes, then what is unusual, then the rest table by table.
  const many = names.tables.length;
  const sections = Array.from({ length: many * 6 }, () => []);
  const section = (row) => (row.a < 2 ? row.a * many + row.t : row.u ? 2 * many + row.t : 3 * many + row.t * 3 + row.a - 2);
  const sames = [];        // by the number that entries alike share
  const counts = newCounts();
  let matching = 0;
  for (let i = 0; i < rows.length; i++) {
    if (i % 128 === 0 && due()) {
      await rest();
      if (mine !== turn) return;
    }
    const row = rows[i];
    let fails = 0, only = "";
    const fail = (name) => { fails++; only = name; };
    if (!actions[row.a]) fail("action");
    if (table >= 0 && row.t !== table) fail("table");
    if (group >= 0 && row.b !== group) fail("group");
    if (asked.kind && !(row.violation && row.violation.kind === asked.kind)) fail("kind");
    if (asked.unusual && !row.u) fail("unusual");
    if (asked.decided && decisionOf(row) !== asked.decided) fail("decided");
    if (fails < 2 && column >= 0 && !hasColumn(row, column)) fail("column");
    if (fails < 2 && q && !row.text.includes(q)) fail("q");
    count(counts, row, fails, only);
    if (fails) continue;
    matching++;
    const same = grouped.checked && !row.u ? sames[row.g] : undefined;
    if (same) {
      if (same.alike) same.alike.push(i);
      else same.alike = [i];
      continue;
    }
    const item = { row: i, alike: null, open: false, height: closedHeight(row), measured: false };
    if (!row.u) sames[row.g] = item;
    sections[section(row)].push(item);
  }
  const found = [];
  for (const items of sections) {
    const several = items.filter((item) => item.alike);
    several.sort((a, b) => b.alike.length - a.alike.length);
    for (const item of several) found.push(item);
    for (const item of items) if (!item.alike) found.push(item);
    if (due()) {
      await rest();
      if (mine !== turn) return;
    }
  }
  items = found;
  current = -1;
  told(counts);
  measure();
  draw(true);
  const all = rows.length;
  const rowsAre = (n) => `${number(n)} ${n === 1 ? "entry" : "entries"}`;
  state.textContent = (matching === all ? rowsAre(all) : `${number(matching)} of ${rowsAre(all)}`)
    + (items.length < matching ? `, those alike as one: ${number(items.length)}` : "");
  list.ariaBusy = "false";
  if (tell) history.replaceState(null, "", address());
}
