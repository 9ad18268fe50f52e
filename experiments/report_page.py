"""The look and the behaviour of the report's page."""

from __future__ import annotations

# Filled in by ``report.page``, which escapes every text.
BODY = """<main>
<h1>{question}</h1>
<p class="answer">{answer}</p>{note}
<p class="dim">{facts}</p>
<h2>Solvers</h2>
<div class="wide">{summary}</div>
<details><summary>What the columns mean</summary>
<p>Every objective was recomputed by an independent referee; smaller is better.
<b>Gap to best known</b>: how much larger the objective is than the best one published for the
instance, or, where none is published, than the best of this study.
<b>Gap to best proven bound</b>: how much larger it is than the best lower bound that is proven:
by publications, from the data alone, or by a solver of this study. No solution can be below that
bound, so this gap is an upper limit of the true distance to the optimum.
<b>IQM</b>: mean of the middle half of the instances, with a 95 % bootstrap interval over instances
within their groups.
<b>Primal integral</b>: mean over the time limit of the distance to the best known, 1 before there
is a solution; it rewards being good early.
<b>Proven optimal</b>: runs that proved their own solution optimal. Means are over the runs that
have a value.</p></details>
{groups}
<h2>How many runs come how close?</h2>
<p class="dim">Share of each solver's runs that are within a given gap to the best known. Higher and
further left is better.</p>
<div id="profile" class="chart"></div>
<h2>How fast do they get there?</h2>
<p class="dim">Mean gap to the best known of the best solution so far, from the moment at which
every run of the solver has one. A rule builds one solution: its line is flat.</p>
<div id="trail" class="chart"></div>
<h2>How soon are they within 1 %?</h2>
<p class="dim">Share of each solver's runs that had a solution within 1 % of the best known by then.
</p>
<div id="close" class="chart"></div>
{pairs}
{ranks}
{sweeps}
<h2>All runs</h2>
<p class="dim">Click a heading to sort, an instance to see the run's solution below.</p>
<div class="wide tall">{runs}</div>
<h2 id="look">A solution</h2>
<p><label>Instance <select id="instance"></select></label>
<label>Run <select id="run"></select></label></p>
<p id="caption" class="dim"></p>
<div id="picture"></div>
<p class="dim">Drag to zoom in, double-click to zoom out, point at a box for its details.
{omitted}</p>
</main>"""

RANKS = """<p class="dim">Mean ranks. Solvers whose bars do not overlap differ significantly (bars
are as long as the critical difference of Nemenyi's test at 5 %).</p>
<div id="ranks" class="chart"></div>"""

SWEEPS = """<h2>What does tuning buy?</h2>
<p class="dim">Expected mean gap of the best of so many settings of a sweep, drawn at random.</p>
<div id="sweeps" class="chart"></div>"""

STYLE = """
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1.2rem 0 0.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.3rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 0.3rem; }
p { margin: 0.3rem 0 0.6rem; }
.answer { font-size: 1.1rem; }
.dim { color: var(--dim); }
.wide { overflow-x: auto; }
.tall { max-height: 60vh; overflow-y: auto; border: 1px solid var(--line); border-radius: 6px; }
.chart { height: 400px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 0.3rem 0.7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
#runs-table th:nth-child(2), #runs-table td:nth-child(2),
#runs-table th:nth-child(7), #runs-table td:nth-child(7) { text-align: left; }
thead th { position: sticky; top: 0; background: var(--soft); }
td small { white-space: normal; display: inline-block; max-width: 22rem; }
tr.chosen td { background: var(--soft); font-weight: 600; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
th button { font-weight: 600; }
th[aria-sort="ascending"] button::after { content: " \\25B2"; }
th[aria-sort="descending"] button::after { content: " \\25BC"; }
button.link { color: var(--accent); text-decoration: underline; }
select { font: inherit; max-width: 100%; margin-right: 1rem; }
@media (max-width: 600px) { body { font-size: 15px; } .chart { height: 330px; }
  th, td { padding: 0.3rem 0.45rem; } }
"""

SCRIPT = """
const $ = id => document.getElementById(id);

// Charts.
load('charts').then(charts => Object.entries(charts).forEach(([id, figure]) => {
  if (figure) draw(id, figure);
  else { $(id).className = 'dim'; $(id).textContent = 'No run of this study has a gap.'; }
}));

// Sorting: numbers as numbers, missing values last, equal ones in the order before.
const table = $('runs-table');
const key = (row, column) => {
  const value = row.cells[column].dataset.value;
  const missing = ['nan', '<NA>', 'None'].includes(value);
  const number = Number(value);
  return {missing, value: Number.isNaN(number) ? value : number};
};
const compare = (a, b, sign) => {
  if (a.missing || b.missing) return a.missing - b.missing;
  if (typeof a.value === typeof b.value && typeof a.value === 'number')
    return sign * (a.value - b.value);
  return sign * String(a.value).localeCompare(String(b.value), undefined, {numeric: true});
};
table.tHead.querySelectorAll('th').forEach((head, column, heads) => {
  head.firstChild.addEventListener('click', () => {
    const up = head.getAttribute('aria-sort') !== 'ascending';
    heads.forEach(other => other.setAttribute('aria-sort', 'none'));
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    const rows = [...table.tBodies[0].rows].map(row => [key(row, column), row]);
    rows.sort((a, b) => compare(a[0], b[0], up ? 1 : -1));
    table.tBodies[0].append(...rows.map(pair => pair[1]));
  });
});

// Pictures: columns are kept apart from the figures that use them.
const resolve = async value => {
  if (Array.isArray(value)) return Promise.all(value.map(resolve));
  if (value === null || typeof value !== 'object') return value;
  if ('$' in value) return load(value.$);
  const pairs = Object.entries(value).map(async ([k, v]) => [k, await resolve(v)]);
  return Object.fromEntries(await Promise.all(pairs));
};
const figureOf = async name => {
  const {data, layout, height} = await load(name);
  const [bars] = await resolve(data);
  const hovertext = bars.hovertext.map((text, i) =>
    text.replaceAll('\\u0001', `[${bars.base[i]}, ${bars.base[i] + bars.x[i]})`));
  return {data: [{...bars, hovertext}], layout: {...layout, height}};
};
load('runs').then(runs => {
  const choose = async index => {
    const run = runs[index];
    $('instance').value = run.instance;
    list(run.instance);
    $('run').value = index;
    table.querySelectorAll('tr.chosen').forEach(row => row.classList.remove('chosen'));
    const button = table.querySelector(`button[data-run="${index}"]`);
    if (button) button.closest('tr').classList.add('chosen');
    $('caption').textContent = run.caption;
    if (run.picture) await draw('picture', await figureOf(run.picture));
  };
  const option = (text, value) => Object.assign(document.createElement('option'),
    {textContent: text, value});
  const list = instance => $('run').replaceChildren(...runs.flatMap((run, index) =>
    run.instance === instance && run.picture ? [option(run.run, index)] : []));
  const drawable = runs.filter(run => run.picture);
  const instances = [...new Set(drawable.map(run => run.instance))];
  $('instance').replaceChildren(...instances.map(name => option(name, name)));
  $('instance').addEventListener('change', () => { list($('instance').value);
    choose(Number($('run').value)); });
  $('run').addEventListener('change', () => choose(Number($('run').value)));
  table.addEventListener('click', event => {
    const button = event.target.closest('button[data-run]');
    if (!button) return;
    choose(Number(button.dataset.run));
    $('look').scrollIntoView({behavior: 'smooth'});
  });
  if (drawable.length) choose(runs.indexOf(drawable[0]));
  else $('caption').textContent = 'No run has a solution to draw.';
});
"""
