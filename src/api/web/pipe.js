// View: one pipe, and what can be done to it.

import {ask, askToken} from './dialogs.js';
import {$, h, keyed, name, table, tableRow, text} from './dom.js';
import {bytes, duration, exitText, NONE, percent, rate, shortId, stateText} from './format.js';
import {graph} from './graph.js';
import {every, json, request} from './net.js';
import {attempt, elapsedOf, isLive, notify, put, store} from './store.js';

const POLL_MS = 2000;
const SIGNALS = 'TERM HUP INT KILL USR1 USR2 STOP CONT'.split(' ');
const HEADINGS = ['Stage', 'App', 'Node', 'Why there', 'Exit', 'In', 'Out', 'Time: waiting for input · working · waiting for output'];

export function openPipe(main, signal, id) {
	const path = `/v1/pipes/${id}`;
	const pipeline = h('pre#pipeline', {tabindex: 0});
	const actions = makeActions(path, id);
	const stages = graph('ol#graph.graph');
	main.append(h('a', {href: '#/pipes'}, '← Pipes'), h('h1', {tabindex: -1}, `Pipe ${shortId(id)}`), pipeline);
	const facts = table(main, 'facts', 'Facts', []);
	main.append(actions.node, h('h2', {}, 'Stages'), stages.node);
	const rows = table(main, 'stages', 'Stages', HEADINGS);
	const tails = h('div#stderr');
	main.append(h('h2', {}, 'stderr'), tails);
	// Events come without stderr, so the pipe is asked for too.
	let asked = null;

	async function load() {
		const error = await attempt('pipe', async () => {
			asked = await json(path);
			put(asked);
		});
		return error ? error.status !== 404 : isLive(asked);
	}

	function draw() {
		const pipe = store.pipes.get(id) ?? asked;
		if (!pipe) return;
		text(pipeline, pipe.pipeline);
		keyed(facts, factsOf(pipe), ([fact]) => fact, makeFact);
		actions.update(pipe);
		stages.update(pipe);
		keyed(rows, pipe.stages, ({stage}) => stage, makeStage);
		keyed(tails, (asked ?? pipe).stages.filter(({stderr}) => stderr), ({stage}) => stage, makeTail);
	}

	every(POLL_MS, signal, load);
	return draw;
}

function factsOf(pipe) {
	const facts = {
		State: stateText(pipe.state),
		Failure: pipe.failure_text ?? pipe.failure?.failure,
		Elapsed: duration(elapsedOf(pipe)),
		Delivered: bytes(pipe.delivered),
		Began: new Date(pipe.began_ms).toLocaleString(),
		Client: pipe.client,
		Entry: pipe.entry,
		Id: pipe.pipe,
	};
	return Object.entries(facts).filter(([, value]) => value != null);
}

const makeFact = ([fact]) => tableRow({'data-fact': fact}, fact, ([, value]) => [value]);

const option = (value, label = value) => h('option', {value}, label);

function makeActions(path, id) {
	const signal = h('select#signal', {}, ...SIGNALS.map(one => option(one)));
	const stage = h('select#stage', {}, option('', 'all'));

	async function act(label, what, query) {
		text($('confirm-text'), `${what} pipe ${shortId(id)}?`);
		text($('confirm-yes'), label);
		if (!(await ask($('confirm-dialog')))) return;
		let error = null;
		do error = await attempt('action', () => request(path + query, {method: 'DELETE'}));
		while (error?.status === 401 && (await askToken(error.message)));
		if (!error) notify(`${label}: asked for.`);
		else if (error.status !== 401) requestAnimationFrame(() => $('error').focus());
	}
	const end = () => act('End pipe', 'End', '');
	const send = () => {
		const [one, query] = stage.value ? [`stage ${stage.value}`, `&stage=${stage.value}`] : ['all stages', ''];
		act('Send signal', `Send ${signal.value} to ${one} of`, `?signal=${signal.value}${query}`);
	};

	const node = h('div#actions.tools', {hidden: ''}, h('button#end-pipe.danger', {click: end}, 'End pipe'),
		h('label', {}, 'Signal ', signal), h('label', {}, 'to stage ', stage), h('button#send-signal', {click: send}, 'Send signal'));
	function update(pipe) {
		node.hidden = !isLive(pipe);
		for (const one of pipe.stages.slice(stage.length - 1)) stage.append(option(one.stage));
	}
	return {node, update};
}

function makeStage({stage}) {
	const bar = h('div.bar', {'aria-hidden': true}, h('i'), h('i'), h('i'));
	const shares = h('span');
	const time = h('div', {}, bar, shares);
	return tableRow({}, stage, now => {
		drawTime(bar, shares, now.waits);
		return [now.app, now.node, now.why ?? NONE, exitText(now.exit), traffic(now, 'in'), traffic(now, 'out'), time];
	});
}

function traffic(stage, way) {
	const [total, perSecond] = [stage[`bytes_${way}`], stage[`rate_${way}`]];
	if (total == null) return 'not counted';
	return stage.exit || perSecond == null ? bytes(total) : `${bytes(total)}, ${rate(perSecond)}`;
}

function drawTime(bar, shares, waits) {
	const parts = waits ? [waits.input_ms, waits.work_ms, waits.output_ms] : [0];
	const sum = parts.reduce((all, part) => all + part);
	bar.hidden = !sum;
	text(shares, sum ? parts.map(part => percent(part / sum)).join(' · ') : NONE);
	parts.forEach((part, at) => {bar.children[at].style.flexGrow = part;});
}

function makeTail({stage, app, node}) {
	const tail = h('pre', {tabindex: 0, 'aria-label': `stderr of stage ${stage}`});
	function update(now) {
		const atEnd = tail.scrollTop + tail.clientHeight >= tail.scrollHeight - 4;
		text(tail, now.stderr, '\n\t');
		if (atEnd) tail.scrollTop = tail.scrollHeight;
	}
	return {node: h('section', {}, h('h3', {}, `${stage} `, name(app), ' @ ', name(node)), tail), update};
}
