// The page is complete without this. With it, it is live: the server sends the parts that have
// changed, already rendered, and the rest here is filter, copy, and buttons that do not reload.
"use strict";
const at = (id) => document.getElementById(id);
document.documentElement.classList.add("live");

// The admin token comes behind the # of the address, which browsers send to nobody.
const KEY = "bearer-proxy admin token";
const given = /^#token=([\w-]+)$/.exec(location.hash);
if (given) {
  sessionStorage.setItem(KEY, given[1]);
  history.replaceState(null, "", location.pathname + location.search);
}
const adminToken = () => sessionStorage.getItem(KEY) || at("actions").elements.token.value;
const showTokenField = () => { at("with-token").hidden = Boolean(sessionStorage.getItem(KEY)); };
showTokenField();

function filter() {
  const wanted = at("filter").value.toLowerCase();
  for (const row of at("requests").rows) {
    row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
  }
}
at("filter").addEventListener("input", filter);
at("filter").form.addEventListener("submit", (event) => event.preventDefault());

function show(id, html) {
  const part = at(id), focused = document.activeElement;
  const again = part.contains(focused) && focused.id;
  part.innerHTML = html;
  if (again && at(again)) at(again).focus();
  if (id === "requests") filter();
  if (id === "verdict") {
    document.title = part.querySelector("span:last-child").textContent.split(/[.:;] /)[0] +
      " - bearer-proxy";
  }
}

let silent = 0;
function lost() {
  show("verdict", '<p class="verdict bad"><span class="symbol" aria-hidden="true">✗</span>' +
    "<span>The proxy does not answer. What is below is what was known last.</span></p>");
  at("waiting").textContent = "";
}
function listen() {
  const events = new EventSource("/events");
  events.onmessage = (event) => {
    clearTimeout(silent);
    silent = setTimeout(lost, 5000);
    for (const [id, html] of Object.entries(JSON.parse(event.data))) show(id, html);
  };
  events.onerror = () => {
    lost();
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}
listen();

document.addEventListener("click", async (event) => {
  const command = event.target.dataset.curl;
  if (!command) return;
  await navigator.clipboard.writeText(command);
  event.target.textContent = "copied";
});

at("actions").addEventListener("submit", async (event) => {
  event.preventDefault();
  const action = event.submitter.getAttribute("formaction"), said = at("done");
  if (action === "/-/drain" && !confirm("Take no more requests? This can't be undone.")) return;
  const answer = await fetch(action, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminToken()}`, Accept: "application/json" },
  }).then((got) => got.json()).catch(() => ({ detail: "The proxy does not answer." }));
  if (answer.code === "admin_token_required") sessionStorage.removeItem(KEY);
  showTokenField();
  said.textContent = answer.done || answer.detail;
});
