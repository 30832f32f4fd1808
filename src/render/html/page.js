"use strict";
// Lists a plan's entries: reads them piece by piece, filters and groups them in slices of time, and
// has only those rows in the document that are on the screen. Values become text, never markup.
(() => {
  // Heights in px, as the style sheet has them.
  const FRAME = 17, TITLE = 24, LINE = 22;
  const LINES = 6;           // changed columns of a closed row
  const SHORT = 240;         // characters of a value in a closed row
  const LONG = 1500;         // and in an open one, before "show all"
  const SLICE = 10;          // milliseconds of work before others have their turn
  const AROUND = 300;        // px of rows above and below the screen
  const PRINTED = 500;       // rows on paper

  const $ = (id) => document.getElementById(id);
  const list = $("list"), state = $("state"), search = $("search"), tools = $("tools"), grouped = $("grouped");
  const selects = { table: $("table"), column: $("column"), kind: $("kind") };
  const toggles = [...document.querySelectorAll("[data-toggle]")];
  const ACTIONS = toggles.map((t) => t.name);
  const SIGNS = toggles.map((t) => t.querySelector(".sign").textContent);
  const narrow = matchMedia("(max-width: 44rem)");
  const number = new Intl.NumberFormat("en").format;

  const rows = [];
  let names = { tables: [], widths: [], columns: [], objects: [], left: [] };
  let items = [];            // what the filters leave: { row, alike, open, height }, rows by index
  let tops = new Float64Array(1);
  let current = -1;
  let turn = 0;
  const shown = new Map();   // item number to its element

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Lets the browser do what it has to, then goes on.
  const channel = new MessageChannel();
  const waiting = [];
  channel.port1.onmessage = () => waiting.shift()();
  const pause = () => new Promise((go) => { waiting.push(go); channel.port2.postMessage(0); });
  let began = 0;
  const due = () => performance.now() - began > SLICE;
  const rest = async () => { await pause(); began = performance.now(); };

  // ---- reading ----

  function searchable(row) {
    const parts = row.k.map((k) => k[1]);
    for (const v of row.v || []) parts.push(v[1]);
    for (const s of row.s || []) parts.push(s[1], s[2]);
    for (const r of row.r || []) parts.push(r[1]);
    if (row.violation) parts.push(row.violation.kind, row.violation.old, row.violation.given, row.violation.why);
    for (const [object, at] of row.f) parts.push(at === null ? names.objects[object] : names.objects[object] + "#" + at);
    return parts.filter((p) => p).join("\n").toLowerCase();
  }

  async function read() {
    began = performance.now();
    names = JSON.parse($("names").textContent);
    const pieces = document.querySelectorAll("script.rows");
    const kinds = new Map();
    for (let i = 0; i < pieces.length; i++) {
      for (const row of JSON.parse(pieces[i].textContent)) {
        row.text = searchable(row);
        row.length = lengthOf(row);
        rows.push(row);
        if (row.violation) kinds.set(row.violation.kind, (kinds.get(row.violation.kind) || 0) + 1);
      }
      if (due()) {
        state.textContent = `Reading… ${Math.round((100 * i) / pieces.length)} %`;
        await rest();
      }
    }
    options(selects.table, names.tables.map((t) => [t, t]));
    options(selects.column, [...names.columns].sort().map((c) => [c, c]));
    options(selects.kind, [...kinds].sort().map(([kind, n]) => [kind, `${kind} (${number(n)})`]));
    selects.kind.hidden = kinds.size === 0;
    for (const [table, action, n] of names.left) {
      const word = ACTIONS[action] + (n === 1 ? "" : "s");
      $("left").append(make("li", "", `${number(n)} ${word} of ${names.tables[table]} are not on this page; `
        + `loader show --table ${names.tables[table]} --action ${ACTIONS[action]} --all lists them.`));
    }
  }

  function options(select, pairs) {
    for (const [value, text] of pairs) {
      const option = make("option", "", text.length > 60 ? text.slice(0, 60) + "…" : text);
      option.value = value;
      select.append(option);
    }
  }

  // ---- what is asked for, which also stands in the address ----

  const wants = () => ({
    q: search.value.trim(),
    table: selects.table.value,
    column: selects.column.value,
    kind: selects.kind.value,
    actions: toggles.filter((t) => t.ariaPressed === "true").map((t) => ACTIONS[t.dataset.toggle]).join(","),
    alike: grouped.checked ? "" : "0",
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
      selects[name].value = params.get(name) || "";
      if (selects[name].selectedIndex < 0) selects[name].value = "";
    }
    const actions = (params.get("actions") || USUAL).split(",");
    for (const t of toggles) t.ariaPressed = String(actions.includes(ACTIONS[t.dataset.toggle]));
    grouped.checked = params.get("alike") !== "0";
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
      if (at < 0) want(new URLSearchParams({ actions: USUAL + (row.a === 4 ? ",skip" : "") }));
      grouped.checked = false;
      await refresh(false);
      at = items.findIndex((item) => item.row === low);
    }
    if (at < 0) return;
    select(at);
    if (!items[at].open) toggle(at);
    select(at);
  }

  // ---- filtering ----

  async function refresh(tell = true) {
    const mine = ++turn;
    const asked = wants();
    list.ariaBusy = "true";
    began = performance.now();
    const q = asked.q.toLowerCase();
    const table = asked.table === "" ? -1 : names.tables.indexOf(asked.table);
    const column = asked.column === "" ? -1 : names.columns.indexOf(asked.column);
    const actions = ACTIONS.map((a) => asked.actions.split(",").includes(a));
    const has = (pairs) => pairs !== undefined && pairs.some((p) => p[0] === column);
    // Violations of all tables, then deletes, then the rest table by table.
    const many = names.tables.length;
    const sections = Array.from({ length: many * 5 }, () => []);
    const groups = [];       // by the number that entries alike share
    let matching = 0;
    for (let i = 0; i < rows.length; i++) {
      if (i % 128 === 0 && due()) {
        await rest();
        if (mine !== turn) return;
      }
      const row = rows[i];
      if (!actions[row.a] || (table >= 0 && row.t !== table)) continue;
      if (asked.kind && !(row.violation && row.violation.kind === asked.kind)) continue;
      if (column >= 0 && !(has(row.s) || has(row.v) || has(row.r) || (row.violation && row.violation.field === column))) continue;
      if (q && !row.text.includes(q)) continue;
      matching++;
      const group = grouped.checked ? groups[row.g] : undefined;
      if (group) {
        if (group.alike) group.alike.push(i);
        else group.alike = [i];
        continue;
      }
      const item = { row: i, alike: null, open: false, height: closedHeight(row) };
      groups[row.g] = item;
      sections[row.a < 2 ? row.a * many + row.t : 2 * many + row.t * 3 + row.a - 2].push(item);
    }
    const found = [];
    for (const section of sections) {
      const several = section.filter((item) => item.alike);
      several.sort((a, b) => b.alike.length - a.alike.length);
      for (const item of several) found.push(item);
      for (const item of section) if (!item.alike) found.push(item);
      if (due()) {
        await rest();
        if (mine !== turn) return;
      }
    }
    items = found;
    current = -1;
    measure();
    draw(true);
    const all = rows.length;
    const rowsAre = (n) => `${number(n)} ${n === 1 ? "entry" : "entries"}`;
    state.textContent = (matching === all ? rowsAre(all) : `${number(matching)} of ${rowsAre(all)}`)
      + (items.length < matching ? `, those alike as one: ${number(items.length)}` : "");
    list.ariaBusy = "false";
    if (tell) history.replaceState(null, "", address());
  }

  // ---- where rows are ----

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
      lines = 2;
    } else if (row.s) {
      const n = row.s.length > LINES ? LINES + 1 : row.s.length;
      const each = narrow.matches ? 3 : 1;
      lines = row.s.length > LINES ? LINES * each + 1 : n * each;
    } else if (row.v) {
      lines = linesOf(row);
    }
    return FRAME + TITLE + LINE * (lines + (row.r ? row.r.length : 0));
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

  // ---- what rows say ----

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

  // Old and new, with what is different marked; closed rows begin shortly before it.
  function pair(a, b, open) {
    const masked = (v) => v && v.startsWith("•••");
    if (!a || !b || masked(a) || masked(b) || Math.max(a.length, b.length) > LONG) return [value(a, "old", open), value(b, "new", open)];
    let from = 0;
    while (from < a.length && from < b.length && a[from] === b[from]) from++;
    from = cutAt(a, from);
    let tail = 0;
    while (tail < a.length - from && tail < b.length - from && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
    if (tail && (a.charCodeAt(a.length - tail) & 0xfc00) === 0xdc00) tail--;
    const start = !open && from > 28 ? cutAt(a, from - 12) : 0;
    return [[a, "old"], [b, "new"]].map(([text, name]) => {
      const element = make("span", name + " v");
      if (from + tail < Math.max(a.length, b.length) / 4) {
        element.textContent = text;
        return element;
      }
      const end = text.length - tail;
      element.append((start ? "…" : "") + text.slice(start, from), make("mark", "", text.slice(from, end)), text.slice(end));
      return element;
    });
  }

  function keyOf(row) {
    const element = make("span", "key");
    row.k.forEach(([column, v], i) => {
      if (i) element.append(" ");
      if (row.k.length > 1) element.append(make("i", "", names.columns[column] + " "));
      element.append(v === null ? make("i", "", "null") : v.length > SHORT ? v.slice(0, cutAt(v, SHORT)) + "…" : v);
    });
    if (!row.k.length) element.append(make("i", "", "no key"));
    return element;
  }

  const plainKey = (row) => row.k.map(([c, v]) => `${names.columns[c]} ${v === null ? "null" : v.slice(0, SHORT)}`).join(", ");

  function article(i) {
    const item = items[i], row = rowOf(item), open = item.open;
    const element = make("article", "row" + (open ? " open" : "") + (i === current ? " current" : ""));
    element.item = item;
    element.dataset.item = i;
    element.tabIndex = i === current || (current < 0 && i === 0) ? 0 : -1;
    element.ariaPosInSet = i + 1;
    element.ariaSetSize = items.length;
    element.ariaLabel = `${ACTIONS[row.a]}, ${names.tables[row.t]}, ${plainKey(row)}`
      + (item.alike ? `, and ${item.alike.length} more alike` : "");
    const sign = make("button", "sign " + ACTIONS[row.a], SIGNS[row.a]);
    sign.type = "button";
    sign.tabIndex = -1;
    sign.title = ACTIONS[row.a];
    sign.ariaExpanded = String(open);
    sign.ariaLabel = open ? "close" : "open";
    const title = make("div", "title");
    title.append(make("span", "table", names.tables[row.t]), keyOf(row));
    if (item.alike) title.append(make("span", "count", `and ${number(item.alike.length)} alike`));
    const notes = [];
    if (row.s && names.widths[row.t]) notes.push(`${row.s.length} of ${names.widths[row.t]} columns`);
    if (row.note) notes.push(row.note);
    if (notes.length) title.append(make("span", "dim", notes.join(" · ")));
    const link = make("a", "link", "#" + row.n);
    link.href = address(row.n);
    link.tabIndex = -1;
    link.title = "Link to this row";
    title.append(link);
    element.append(sign, title);
    body(element, row, open);
    if (open) {
      if (item.alike) element.append(alike([item.row, ...item.alike]));
      else if (row.f.length) element.append(make("p", "from", "from " + row.f.map(([o, at]) => names.objects[o] + (at === null ? "" : "#" + at)).join(", ")));
    }
    return element;
  }

  function body(element, row, open) {
    const said = (name) => element.appendChild(make("div", "said" + (name ? " " + name : "")));
    if (row.violation) {
      const v = row.violation;
      const line = said();
      line.append(make("b", "", v.kind), v.field === null ? " " : ` ${names.columns[v.field]} `);
      if (v.old !== null) {
        const [old, given] = pair(v.old, v.given, open);
        line.append(old, " → ", given, " ");
      } else if (v.given !== null) line.append(value(v.given, "old", open), " ");
      line.append(`(${v.effect})`);
      said().append(plain(value(v.why, "", open)));
    }
    if (row.s) {
      for (const [column, a, b] of open ? row.s : row.s.slice(0, LINES)) {
        const line = element.appendChild(make("div", "line"));
        line.append(make("span", "name", names.columns[column]), ...pair(a, b, open));
      }
      if (!open && row.s.length > LINES) said().append(`and ${row.s.length - LINES} more columns`);
    }
    const values = open ? row.v || [] : listed(row);
    if (values.length && open) {
      for (const [column, v] of values) {
        const line = element.appendChild(make("div", "line"));
        const sides = row.a === 1 ? [value(v, "old", true), make("span")] : [make("span"), value(v, "new", true)];
        line.append(make("span", "name", names.columns[column]), ...sides);
      }
    } else if (values.length) {
      const line = said(linesOf(row) > 1 ? "two" : "");
      values.slice(0, 40).forEach(([column, v], i) => {
        line.append((i ? ", " : "") + names.columns[column] + " ", value(v, "", false));
      });
    }
    for (const [column, given] of row.r || []) {
      said().append(`${names.columns[column]} was given as `, value(given, "", open), " and is rounded");
    }
  }

  function alike(members) {
    const keys = make("ul", "keys-alike");
    const add = (from) => {
      const end = Math.min(from + 200, members.length);
      for (const i of members.slice(from, end)) {
        const link = make("a", "v", rows[i].k.map((k) => (k[1] === null ? "null" : k[1].slice(0, SHORT))).join(" "));
        link.href = address(rows[i].n);
        keys.appendChild(make("li")).append(link);
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

  // ---- what people do ----

  let soon = 0;
  const later = () => {
    clearTimeout(soon);
    soon = setTimeout(refresh, 120);
  };
  search.addEventListener("input", later);
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("change", (event) => { if (event.target !== search) refresh(); });
  tools.addEventListener("reset", (event) => {
    event.preventDefault();
    want(new URLSearchParams());
    refresh();
  });
  for (const t of toggles) {
    t.addEventListener("click", () => {
      t.ariaPressed = String(t.ariaPressed !== "true");
      refresh();
    });
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-table]");
    if (link) {
      event.preventDefault();
      const params = new URLSearchParams({ table: names.tables[link.dataset.table] });
      if (link.dataset.action) params.set("actions", ACTIONS[link.dataset.action]);
      location.hash = params;
      $("changes").scrollIntoView();
      return;
    }
    const row = event.target.closest(".row");
    if (!row || event.target.closest("a, button.more")) return;
    const i = Number(row.dataset.item);
    const words = String(window.getSelection());
    const opens = event.target.closest("button.sign") || (!words && event.target.closest(".title"));
    select(i);
    if (opens) toggle(i);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.target === search) {
      if (event.key === "Escape") {
        if (search.value) later();
        search.value = "";
        search.blur();
      } else if ((event.key === "ArrowDown" || event.key === "Enter") && items.length) {
        event.preventDefault();
        select(Math.max(current, 0));
      }
      return;
    }
    if (typing) return;
    const inList = list.contains(event.target) || event.target === document.body;
    const move = (by) => {
      event.preventDefault();
      if (items.length) select(Math.min(Math.max(current + by, 0), items.length - 1));
    };
    if (event.key === "/") {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "j" || (event.key === "ArrowDown" && inList && current >= 0)) move(1);
    else if (event.key === "k" || (event.key === "ArrowUp" && inList && current >= 0)) move(-1);
    else if ((event.key === "Enter" || event.key === "o") && current >= 0 && inList && !event.target.closest("a, button")) {
      event.preventDefault();
      toggle(current);
      select(current);
    }
  });
  window.addEventListener("hashchange", follow);
  let asked = false;
  const redraw = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw(false);
    });
  };
  window.addEventListener("scroll", redraw, { passive: true });
  window.addEventListener("resize", redraw);
  narrow.addEventListener("change", () => {
    for (const item of items) if (!item.open) item.height = closedHeight(rowOf(item));
    measure();
    draw(true);
  });

  // On paper rows stand one after the other, opened.
  window.addEventListener("beforeprint", () => {
    for (const element of shown.values()) element.remove();
    shown.clear();
    const many = Math.min(items.length, PRINTED);
    const before = items.map((item) => item.open);
    for (let i = 0; i < many; i++) {
      items[i].open = true;
      list.append(article(i));
      items[i].open = before[i];
    }
    if (many < items.length) list.append(make("p", "dim", `… and ${number(items.length - many)} more; loader show --all lists them.`));
  });
  window.addEventListener("afterprint", () => {
    list.replaceChildren();
    draw(true);
  });

  read().then(follow);
})();
