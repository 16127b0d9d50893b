// View: all pipes.

import {chart} from './chart.js';
import {attr, h, keyed, makeFilter, text} from './dom.js';
import {ago, bytes, count, duration, rate, shortId, stateText} from './format.js';
import {graph} from './graph.js';
import {elapsedOf, endedAgo, isLive, setCluster, sorted, store} from './store.js';

const ROWS = 200;
const RECENT_MS = 300_000;
// A row holds what can be seen of a long pipeline.
const SEEN = 300;

export function openPipes(main) {
	const [filter, has] = makeFilter('pipes', draw);
	const charts = [chart('Bytes/s, all links', 'rate', rate), chart('Pipes running', 'running', String)];
	const cluster = h('input#cluster', {type: 'checkbox', change: () => setCluster(cluster.checked)});
	cluster.checked = store.cluster;
	const [summary, silent, leftOut] = [h('p#summary'), h('p#silent.warning'), h('p#left-out')];
	const [live, finished] = ['Live', 'Finished'].map(group);
	main.append(h('h1', {tabindex: -1}, 'Pipes'), summary, h('div.charts', {}, ...charts.map(({node}) => node)),
		h('div.tools', {}, filter, h('label', {}, cluster, ' Whole cluster')), silent,
		h('div#pipes', {}, live.node, finished.node), leftOut);

	function draw() {
		const all = sorted();
		text(summary, summarize(all));
		for (const one of charts) one.draw(store.history);
		text(silent, silentText(store.silent));
		const [living, ended] = [all.live, all.finished].map(pipes => pipes.filter(has));
		const kept = document.activeElement.closest('[data-pipe]')?.dataset.pipe;
		live.draw(living, ROWS);
		finished.draw(ended, Math.max(0, ROWS - living.length));
		// A pipe that ends moves to the other list; whoever was at its row stays there.
		if (kept && document.activeElement === document.body) focusPipe(kept);
		const hidden = Math.max(0, living.length + ended.length - ROWS) + store.leftOut;
		text(leftOut, hidden ? `${count(hidden, 'more pipe')} not shown.` : '');
	}
	return draw;
}

export function focusPipe(id) {
	document.querySelector(`[data-pipe="${CSS.escape(id)}"] a`)?.focus();
}

function summarize({live, finished}) {
	const running = live.filter(({state}) => state === 'running').length;
	const recent = finished.filter(pipe => endedAgo(pipe) < RECENT_MS);
	const failed = recent.filter(({state}) => state === 'failed').length;
	const more = store.leftOut && recent.length === finished.length ? '+' : '';
	return `${running} running, ${live.length - running} starting. Last 5 minutes: ${recent.length}${more} finished, ${failed}${more} failed.`;
}

function silentText(silent) {
	const nodes = silent.map(({node, why}) => `${node} (${why})`).join(', ');
	return nodes && `${count(silent.length, 'node')} did not answer: ${nodes}; the list is partial.`;
}

function group(title) {
	const [heading, list] = [h('h2'), h('ul')];
	function draw(pipes, most) {
		text(heading, `${title} (${pipes.length})`);
		keyed(list, pipes.slice(0, most), ({pipe}) => pipe, makeRow);
	}
	return {node: h('section', {}, heading, list), draw};
}

function makeRow(pipe) {
	const [state, pipeline, when, failure] = ['state', 'name', 'when', 'failure'].map(part => h(`span.${part}`));
	const stages = isLive(pipe) ? graph('ol.graph') : null;
	const link = h('a', {href: `#/pipe/${pipe.pipe}`, 'data-row': ''},
		state, h('span.id', {}, shortId(pipe.pipe)), pipeline, when, failure);
	const node = h('li', {'data-pipe': pipe.pipe}, link, stages?.node ?? '');
	function update(now) {
		attr(node, 'data-state', now.state);
		text(state, stateText(now.state));
		// Without the token it is made of the stages, which come later.
		text(pipeline, now.pipeline.slice(0, SEEN));
		pipeline.title = pipeline.textContent;
		text(when, isLive(now) ? duration(elapsedOf(now)) : `${bytes(now.delivered)} in ${duration(now.elapsed_ms)}, ${ago(endedAgo(now))}`);
		text(failure, now.failure_text);
		stages?.update(now);
	}
	return {node, update};
}
