// View: nodes, registries and apps.

import {h, keyed, makeFilter, table, tableRow, text} from './dom.js';
import {ago, count, NONE, stateText} from './format.js';
import {every, json} from './net.js';
import {attempt} from './store.js';

const POLL_MS = 5000;

export function openNodes(main, signal) {
	const [filter, has] = makeFilter('nodes', draw);
	main.append(h('h1', {tabindex: -1}, 'Nodes'), h('div.tools', {}, filter));
	const nodes = table(main, 'nodes', 'Nodes', 'Node State Apps Load Seen Address Version Source Detail'.split(' '));
	main.append(h('h2', {}, 'Registries'));
	const sources = table(main, 'sources', 'Registries', ['Registry', 'Last answer', 'Out of date', 'Not announced']);
	const any = h('p');
	main.append(h('h2', {}, 'Apps'), any);
	const apps = table(main, 'apps', 'Apps', ['App', 'Nodes']);
	let known = null;

	const load = () => attempt('nodes', async () => {
		const [one, other] = await Promise.all(['/v1/nodes', '/v1/apps'].map(json));
		known = {...other, ...one};
	});

	function draw() {
		if (!known) return;
		keyed(nodes, known.nodes.filter(has), ({node, address}) => `${node} ${address}`, makeNode);
		keyed(sources, known.sources, source => source.name, makeSource);
		keyed(apps, known.apps.filter(has), ({app}) => app, makeApp);
		text(any, known.any.length ? `May run any app: ${known.any.join(', ')}` : '');
	}

	every(POLL_MS, signal, load);
	return draw;
}

function makeNode({node}) {
	const summary = h('summary', {'data-row': ''});
	const more = h('span');
	const details = h('details', {}, summary, more);
	return tableRow({'data-node': node}, node, now => {
		const {apps, load} = now;
		text(summary, apps?.listed ? count(apps.listed.length, 'app') : apps ?? 'not known');
		text(more, moreText(now));
		return [stateText(now.state), details, load ? `${load.stages}/${load.capacity}` : NONE, ago(now.seen_ms), now.address,
			now.version ?? NONE, now.source, now.detail];
	});
}

function moreText({apps, labels, weight}) {
	const marks = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
	return [...(apps?.listed ?? []), ...marks, `weight ${weight ?? NONE}`].join(', ');
}

function makeSource(source) {
	const word = reason => (reason ? `! ${reason}` : 'no');
	return tableRow({}, source.name, now => [ago(now.age_ms), word(now.stale), word(now.unannounced)]);
}

function makeApp({app}) {
	return tableRow({}, app, ({nodes}) => [nodes.join(', ')]);
}
