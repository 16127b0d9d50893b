// Routes, header, messages and keys.

import {ask, askToken} from './dialogs.js';
import {$, attr, shown, text} from './dom.js';
import {duration, stateText} from './format.js';
import {openNodes} from './nodes.js';
import {openPipe} from './pipe.js';
import {focusPipe, openPipes} from './pipes.js';
import {connect, isConnected, onChange, sample, store} from './store.js';

const VIEWS = {pipes: openPipes, nodes: openNodes, pipe: openPipe};

let drawView = null;
let closed = new AbortController();
let lastId = null;
let due = false;
let asked = false;

function route() {
	const [, kind, id] = /^#\/(pipes|nodes|pipe(?=\/))(?:\/(\w+))?$/.exec(location.hash) ?? [null, 'pipes'];
	closed.abort();
	closed = new AbortController();
	store.problems.clear();
	$('main').replaceChildren();
	drawView = VIEWS[kind]($('main'), closed.signal, id);
	for (const link of document.querySelectorAll('nav a')) attr(link, 'aria-current', link.hash === `#/${kind}` ? 'page' : null);
	draw();
	scrollTo(0, 0);
	document.querySelector('h1').focus();
	if (lastId && kind === 'pipes') focusPipe(lastId);
	lastId = id;
}

function draw() {
	due = false;
	const {self, connection, problems, notice} = store;
	text($('connection'), connection);
	attr($('connection'), 'data-state', isConnected() ? 'up' : 'failed');
	text($('self'), self && selfText(self));
	text($('notice'), notice);
	$('error').hidden = !problems.size;
	text($('error-text'), [...problems.values()].join(' '));
	document.title = `${document.querySelector('h1').textContent} · ${shown(self?.node)} · dpipes`;
	drawView();
}

function selfText({node, version, phase, uptime_ms: uptime, load}) {
	return [node, stateText(phase), `${load.stages}/${load.capacity} stages`, `up ${duration(uptime)}`, version].join(' · ');
}

function changed() {
	const wanted = store.connection === 'unauthorized';
	if (wanted && !asked) askToken('That is not the token.');
	asked = wanted;
	// Many events come between two frames; a page that nobody sees draws nothing.
	if (!due) requestAnimationFrame(draw);
	due = true;
}

const moveRow = step => () => {
	const rows = [...document.querySelectorAll('[data-row]')];
	const now = rows.indexOf(document.activeElement);
	rows[now < 0 ? 0 : now + step]?.focus();
};

const go = hash => () => {location.hash = hash;};

const KEYS = {
	1: go('#/pipes'),
	2: go('#/nodes'),
	j: moveRow(1),
	k: moveRow(-1),
	ArrowDown: moveRow(1),
	ArrowUp: moveRow(-1),
	'/': () => $('filter')?.focus(),
	'?': () => ask($('keys-dialog')),
	Escape: go('#/pipes'),
};

function onKey(event) {
	const {target, key, ctrlKey, altKey, metaKey} = event;
	if (ctrlKey || altKey || metaKey || !$('keys-on').checked || !KEYS[key] || target.closest('select, pre, dialog')) return;
	if (target.matches('input')) {
		// The browser clears a filter by itself; from an empty one Escape leads out, as the arrow does.
		if (key === 'Escape' && !target.value) target.blur();
		if (key !== 'ArrowDown') return;
	}
	event.preventDefault();
	KEYS[key]();
}

$('use-token').onclick = () => askToken('');
$('show-keys').onclick = KEYS['?'];
$('dismiss').onclick = () => {
	store.problems.clear();
	changed();
};
onkeydown = onKey;
onhashchange = route;
onChange(changed);
setInterval(() => {
	sample();
	changed();
}, 1000);
route();
connect();
