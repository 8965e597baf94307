// The status page of Portcullis. What came with requests reaches the page as text only: nothing here reads markup.
"use strict";

const EVERY = 2000; // milliseconds from one look to the next
const SHOWN = 60; // looks in the chart
const find = (id) => document.getElementById(id);

let repeat = null; // what changes have to carry; nothing until somebody has signed in
let before = null; // the last look, to work out rates
let policy = { number: null, auth: [], rows: [], flags: [] };
let history = [];
let timer = null;

// An element with a class and children; strings become text.
function el(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

class Refused extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

async function ask(path, method = "GET", body = undefined) {
  const headers = {};
  if (repeat !== null && method !== "GET") headers["X-Portcullis-Session"] = repeat;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const request = { method, headers, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) request.body = JSON.stringify(body);
  const answer = await fetch(path, request);
  const document = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, document.error);
  return document;
}

function notice(text) {
  find("notice").textContent = text ?? "";
  find("notice").hidden = !text;
}

// ---- Looking ----

function show(mode) {
  const inside = mode === "signed_in" || mode === "read_only";
  find("sign-in").hidden = mode !== "signed_out";
  if (!inside) find("content").hidden = true;
  find("revoking").hidden = mode !== "signed_in";
  find("sign-out").hidden = mode !== "signed_in";
  find("who").textContent = mode === "read_only" ? "read-only: there is no admin token" : "";
  document.body.dataset.mode = mode;
}

async function enter() {
  clearTimeout(timer);
  try {
    const session = await ask("status/session");
    repeat = session.repeat ?? null;
    show(session.mode);
    if (session.mode === "signed_out") {
      pill(find("ready"), "", "signed out");
      find("token").focus();
      return;
    }
    before = null;
    history = [];
    await look();
    await listRevocations();
  } catch (error) {
    notice(error.message);
    if (!(error instanceof Refused)) timer = setTimeout(enter, EVERY);
  }
}

async function look() {
  clearTimeout(timer);
  try {
    const now = await ask("status/now");
    if (now.policy.number !== policy.number) {
      policy = { ...(await ask("status/policy")), number: now.policy.number };
    }
    const rates = ratesSince(before, now);
    before = now;
    showHead(now);
    showTraffic(now, rates);
    showHealth(now);
    showRefusals(now.refusals);
    showRoutes(rates);
    find("content").hidden = false;
    document.body.dataset.looked = now.time;
  } catch (error) {
    if (error.status === 401) return enter();
    notice(error instanceof Refused ? error.message : "The gateway does not answer.");
    pill(find("ready"), "bad", "no answer");
  }
  timer = setTimeout(look, EVERY);
}

// ---- Rates ----

const kinds = (statuses) => {
  const sum = { passed: 0, refused: 0, failed: 0 };
  for (const [status, count] of Object.entries(statuses)) {
    const kind = status >= 500 || status === "0" ? "failed" : status >= 400 ? "refused" : "passed";
    sum[kind] += count;
  }
  return sum;
};

// By route: how much of each kind a second, and the mean time in milliseconds.
function ratesSince(before, now) {
  const rates = {};
  const seconds = before ? (Date.parse(now.time) - Date.parse(before.time)) / 1000 : 0;
  for (const [route, { statuses, seconds: took }] of Object.entries(now.answered)) {
    const counts = kinds(statuses);
    const old = before?.answered[route];
    const earlier = old ? kinds(old.statuses) : { passed: 0, refused: 0, failed: 0 };
    const rate = { mean: null };
    let count = 0;
    for (const kind of ["passed", "refused", "failed"]) {
      const more = Math.max(counts[kind] - earlier[kind], 0);
      count += more;
      rate[kind] = seconds > 0 ? more / seconds : 0;
    }
    if (before && count > 0) rate.mean = ((took - (old?.seconds ?? 0)) / count) * 1000;
    rate.all = rate.passed + rate.refused + rate.failed;
    rate.count = count;
    rates[route] = rate;
  }
  return rates;
}

function total(rates) {
  const sum = { passed: 0, refused: 0, failed: 0, all: 0, mean: null };
  let count = 0;
  let took = 0;
  for (const rate of Object.values(rates)) {
    for (const kind of ["passed", "refused", "failed", "all"]) sum[kind] += rate[kind];
    if (rate.mean !== null) {
      count += rate.count;
      took += rate.mean * rate.count;
    }
  }
  if (count > 0) sum.mean = took / count;
  return sum;
}

const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value === 0 ? "0" : value.toFixed(2));
const millis = (value) => (value === null ? "–" : `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ms`);

// ---- Showing ----

function pill(element, health, text) {
  element.className = `pill ${health}`;
  element.textContent = text;
}

function showHead(now) {
  const degraded = now.degraded.length > 0;
  pill(find("ready"), now.waiting_for ? "bad" : degraded ? "doubtful" : "good", now.waiting_for ?? (degraded ? "degraded" : "ready"));
  find("ready").title = now.degraded.join("\n");
  const accepted = `version ${now.version} · policy of ${moment(now.policy.accepted)}`;
  find("policy").textContent = accepted;
  notice(now.policy.newer_refused ? "The configuration was changed and refused: the policy from before goes on. The log says why." : null);
}

function showTraffic(now, rates) {
  const sum = total(rates);
  const figures = [
    [number(sum.all), "requests/s"],
    [number(sum.refused), "4xx/s"],
    [number(sum.failed), "5xx/s"],
    [millis(sum.mean), "mean"],
    [String(now.requests_in_flight), "in flight"],
    [String(now.connections), "connections"],
  ];
  find("figures").replaceChildren(...figures.map(([value, name]) => el("div", "", el("b", "", value), el("span", "", name))));
  history.push(sum);
  history = history.slice(-SHOWN);
  const most = Math.max(1, ...history.map((one) => one.all));
  const bars = [];
  const width = 600 / SHOWN;
  history.forEach((one, at) => {
    let top = 76;
    for (const kind of ["passed", "refused", "failed"]) {
      const height = (one[kind] / most) * 72;
      top -= height;
      if (height <= 0) continue;
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const x = 600 - (history.length - at) * width;
      for (const [name, value] of Object.entries({ class: kind, x, y: top, width: width - 2, height })) bar.setAttribute(name, value);
      bars.push(bar);
    }
  });
  find("chart").replaceChildren(...bars);
}

const WORDS = { good: "good", unknown: "not used yet", doubtful: "look at this", bad: "bad" };

function card(kind, name, health, ...lines) {
  const state = el("span", "state", WORDS[health] ?? health);
  const shown = el("div", `card ${health}`, el("div", "kind", el("span", "", kind), state), el("div", "name", name));
  shown.append(...lines.filter(Boolean).map((line) => el("p", "", line)));
  return shown;
}

const age = (seconds) => (seconds < 90 ? `${seconds} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`);
const moment = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
const date = (time) => new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" });
const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

function showHealth(now) {
  const cards = now.upstreams.map((upstream) => {
    const last = upstream.last_failure;
    const unresolved = upstream.targets.filter((target) => !target.resolved).map((target) => target.target);
    return card("Upstream", upstream.name, upstream.health,
      upstream.targets.map((target) => target.target).join(", "),
      ...upstream.targets.filter((target) => !target.healthy).map((target) => `skipped for now: ${target.target}`),
      unresolved.length ? `no address: ${unresolved.join(", ")}` : null,
      `${upstream.answered} answered, ${upstream.failures} failed`,
      last ? `last failure: ${last.kind}, ${moment(last.time)}` : null,
      ...upstream.targets.filter((target) => target.last_failure).map((target) =>
        `${target.target}: ${plural(target.failures, "failure")}, last ${target.last_failure.error} at ${moment(target.last_failure.time)}`));
  });
  for (const issuer of now.issuers) {
    cards.push(card("Issuer", issuer.auth, issuer.health,
      issuer.read ? `${plural(issuer.keys, "key")}, read ${age(issuer.age_seconds)} ago` : "its keys were never read",
      issuer.failure));
  }
  for (const method of now.credentials) {
    cards.push(card(method.kind === "basic" ? "Users" : "API keys", method.auth, method.count > 0 ? "good" : "unknown",
      plural(method.count, method.kind === "basic" ? "user" : "key"),
      method.next_expiry ? `the next one expires ${date(method.next_expiry)}` : null));
  }
  const list = now.revocations;
  const entries = Object.values(list.entries).reduce((sum, count) => sum + count, 0);
  cards.push(card("Revocation list", list.store === "redis" ? "Redis" : "in memory", list.health,
    list.redis_up === false ? "Redis does not answer" : null,
    `${plural(entries, "entry").replace("entrys", "entries")}, ${list.in_touch ? "up to date" : `${list.staleness_seconds.toFixed(1)} s old`}`,
    list.store === "redis" ? `when Redis is away: ${list.on_outage}` : null));
  for (const certificate of now.certificates) {
    cards.push(card("Certificate", certificate.names.join(", ") || certificate.certificate, certificate.health,
      certificate.days < 0 ? `expired ${date(certificate.expires)}` : `expires in ${plural(certificate.days, "day")}, ${date(certificate.expires)}`,
      certificate.certificate));
  }
  const tries = now.failed_attempts;
  cards.push(card("Failed attempts", `${plural(tries.sources_limited, "client")} held up`, tries.sources_limited + tries.principals_limited > 0 ? "doubtful" : "good",
    `${tries.tracked} remembered, ${plural(tries.principals_limited, "user name")} held up`));
  find("health").replaceChildren(...cards);
}

const cell = (title, name, ...children) => {
  const made = el("td", name, ...children);
  made.dataset.title = title;
  return made;
};

function statusPill(status) {
  const health = status >= 500 || status === 0 ? "bad" : status === 401 || status === 403 || status === 429 ? "doubtful" : "";
  return el("span", `pill ${health}`, status === 0 ? "gone" : String(status));
}

function showRefusals(refusals) {
  const rows = refusals.map((refusal) => {
    const who = el("td", "", refusal.subject ?? "", refusal.subject && refusal.key_id ? ` (${refusal.key_id})` : "", el("div", "quiet mono", refusal.client ?? ""));
    who.dataset.title = "Who";
    const kind = { api_key: "key", basic: "user", jwt: "sub" }[refusal.auth_method];
    const id = kind === "key" ? refusal.key_id : refusal.subject;
    if (repeat !== null && kind && id && refusal.reason !== "revoked") who.append(button("Revoke …", () => prepare(kind, id)));
    const time = cell("Time", "time", refusal.time.slice(11, 23));
    time.title = refusal.time;
    const row = el("tr", "", time, cell("Status", "", statusPill(refusal.status)), cell("Reason", "reason", refusal.reason),
      cell("Request", "mono", `${refusal.method} ${refusal.host}${refusal.path}`), cell("Route", "", refusal.route), who,
      cell("Request id", "mono id", refusal.request_id));
    row.dataset.number = refusal.number;
    return row;
  });
  find("refusals").parentElement.hidden = rows.length === 0;
  find("no-refusals").hidden = rows.length > 0;
  find("refusals").tBodies[0].replaceChildren(...rows);
}

function who(row) {
  if (row.public) return el("span", "pill", "anyone");
  const names = policy.auth.filter((_, at) => row.may[at] !== "not_accepted").map((name) => {
    const may = row.may[policy.auth.indexOf(name)];
    return may.listed ? `${name} (${may.listed.may} of ${may.listed.of})` : name;
  });
  const needs = [row.scopes.join(" and "), row.roles.length ? `as ${row.roles.join(" or ")}` : ""].filter(Boolean).join(" ");
  return names.join(", ") + (needs ? ` with ${needs}` : "");
}

function showRoutes(rates) {
  let last = null;
  const rows = policy.rows.map((row) => {
    const first = row.route !== last;
    last = row.route;
    const rate = rates[row.route] ?? { all: 0, refused: 0, mean: null };
    const name = cell("Route", "name", first ? row.route : "", first && row.reports_only ? el("div", "pill doubtful", "reports only") : null);
    return el("tr", "", name, cell("For", "mono", first ? `${row.host === "*" ? "" : row.host}${row.path}` : ""),
      cell("Methods", "", row.methods.join(" ")), cell("Who may", "", who(row)),
      cell("Requests/s", "number", first ? number(rate.all) : ""), cell("4xx/s", "number", first ? number(rate.refused) : ""),
      cell("Mean", "number", first ? millis(rate.mean) : ""));
  });
  find("routes").tBodies[0].replaceChildren(...rows);
  find("flags").replaceChildren(...policy.flags.filter((flag) => flag.flag !== "public").map((flag) =>
    el("li", "", el("span", "pill doubtful", flag.flag.replaceAll("_", " ")), ` ${flag.route}: ${flag.detail}`)));
}

// ---- Revoking ----

function button(text, action) {
  const made = el("button", "small", text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

function prepare(kind, id) {
  find("revoke-kind").value = kind;
  find("revoke-id").value = id;
  find("revoke-reason").focus();
}

function outcome(text, failed) {
  find("revoke-outcome").textContent = text;
  find("revoke-outcome").className = failed ? "error" : "quiet";
}

async function listRevocations(cursor = "") {
  const page = await ask(`status/revocations?limit=100&cursor=${encodeURIComponent(cursor)}`);
  const body = find("revocations").tBodies[0];
  if (cursor === "") body.replaceChildren();
  for (const entry of page.revocations) {
    const target = new URLSearchParams({ kind: entry.kind, id: entry.id });
    if (entry.issuer_hash) target.set("issuer_hash", entry.issuer_hash);
    const row = el("tr", "", cell("Kind", "", entry.kind), cell("Identifier", "mono", entry.id), cell("Reason", "", entry.reason ?? ""),
      cell("Until", "time", entry.expires ? moment(entry.expires) : "it is lifted"),
      cell("", "number", repeat === null ? null : button("Lift", () => change("DELETE", `status/revocations?${target}`, undefined, `${entry.kind} ${entry.id} is lifted.`))));
    body.append(row);
  }
  find("revocations").parentElement.hidden = body.rows.length === 0;
  find("no-revocations").hidden = body.rows.length > 0;
  find("more-revocations").hidden = !page.next;
  find("more-revocations").onclick = () => listRevocations(page.next).catch((error) => outcome(error.message, true));
}

async function change(method, path, body, done) {
  try {
    await ask(path, method, body);
    outcome(done, false);
    await listRevocations();
  } catch (error) {
    outcome(error.message, true);
    if (error.status === 401) await enter();
  }
}

find("revoke-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { kind: find("revoke-kind").value, id: find("revoke-id").value };
  if (find("revoke-for").value) body.for = find("revoke-for").value;
  if (find("revoke-reason").value) body.reason = find("revoke-reason").value;
  await change("POST", "status/revocations", body, `${body.kind} ${body.id} is revoked.`);
});

// ---- Signing in and out ----

find("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  find("sign-in-error").textContent = "";
  try {
    await ask("status/session", "POST", { token: find("token").value });
    find("token").value = "";
    notice(null);
    await enter();
  } catch (error) {
    find("sign-in-error").textContent = error.message;
  }
});

find("sign-out").addEventListener("click", async () => {
  try {
    await ask("status/session", "DELETE");
  } catch (error) {
    notice(error.message);
  }
  await enter();
});

enter();
