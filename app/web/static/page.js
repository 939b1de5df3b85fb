// What pages share: tables that sort, a custom span of time in the reader's own zone, links that keep the other choices.
"use strict";
(() => {
  const READ = {
    text: (cell) => cell.textContent.trim().toLowerCase(),
    number: (cell) => ("value" in cell.dataset ? Number(cell.dataset.value) : -Infinity),
  };

  function sort(button) {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const at = head.cellIndex;
    const down = head.getAttribute("aria-sort") !== "descending" && (head.hasAttribute("aria-sort") || button.dataset.sort === "number");
    const read = READ[button.dataset.sort];
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [read(row.cells[at]), row]);
    rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1));
    body.append(...rows.map(([, row]) => row));
  }

  const local = (epoch) => {
    const when = new Date(epoch * 1000);
    return new Date(when.getTime() - when.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  };

  for (const input of document.querySelectorAll("input[data-epoch]")) input.value = local(Number(input.dataset.epoch));

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-range]");
    if (!form) return;
    event.preventDefault();
    const epoch = (name) => Math.floor(new Date(form.elements[name].value).getTime() / 1000);
    const query = new URLSearchParams(location.search);
    query.delete("range");
    query.set("start_ts", epoch("from"));
    query.set("end_ts", epoch("to"));
    location.search = query;
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sort]");
    if (button) sort(button);
    const link = event.target.closest("a[data-keep]");
    if (!link || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    const query = new URLSearchParams(location.search);
    for (const name of ["range", "start_ts", "end_ts"]) query.delete(name);
    for (const [name, value] of new URLSearchParams(link.search)) query.set(name, value);
    location.search = query;
  });
})();
