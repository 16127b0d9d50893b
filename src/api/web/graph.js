// The stages of a pipe on their nodes, with the client at both ends.

import {attr, h, keyed, name, text} from './dom.js';
import {bytes, exitText, rate} from './format.js';
import {isLive, linkRate} from './store.js';

export function graph(what) {
	const node = h(what, {'aria-label': 'Stages and links'});
	return {node, update: pipe => keyed(node, parts(pipe), partKey, make)};
}

// A stage may move to another node until the nodes agree.
const partKey = ({kind, number, stage}) => `${kind}${number} ${stage?.app} ${stage?.node}`;

// What stands in a row. The share is of the time, in hundredths.
function parts(pipe) {
	const share = (by, number) => {
		const {by: is, stage = number, last = stage, percent} = pipe.limit ?? {};
		return is === by && number >= stage && number <= last ? percent : null;
	};
	const end = (number, word, by) => ({kind: 'end', number, title: word, share: share(by, number)});
	const link = number => ({kind: 'link', number, share: share('link', number), ...traffic(pipe, number)});
	const stages = pipe.stages.flatMap(stage => [
		{kind: 'stage', number: stage.stage, stage, below: stage.exit && exitText(stage.exit), share: share('stage', stage.stage)},
		link(stage.stage),
	]);
	return [end(0, 'in', 'input'), link(0), ...stages, end(1, 'out', 'output')];
}

function traffic(pipe, number) {
	const [before, behind] = [pipe.stages[number - 1], pipe.stages[number]];
	const perSecond = isLive(pipe) ? linkRate(pipe, number) : null;
	const total = before?.bytes_out ?? behind?.bytes_in;
	if (perSecond != null) return {perSecond, title: rate(perSecond), below: bytes(total)};
	// Two stages on one node are joined by a pipe of the kernel, where nobody counts.
	return {title: total == null && before?.node === behind?.node ? 'local' : bytes(total)};
}

function make({kind, number, stage}) {
	const [title, line, below, limits] = ['title', 'line', 'below', 'limits'].map(part => h(`span.${part}`));
	const names = stage ? [h('span.number', {}, number), name(stage.app, 'b'), h('span.where', {}, '@ ', name(stage.node))] : [];
	const node = h(`li.${kind}`, {[`data-${kind}`]: number}, ...names, title, line, below, limits);
	return {
		node,
		update(part) {
			text(title, part.title);
			text(below, part.below);
			text(limits, part.share == null ? '' : `limits ${part.share} %`);
			attr(node, 'data-limits', part.share == null ? null : '');
			attr(line, 'data-local', part.title === 'local' ? '' : null);
			line.style.setProperty('--thick', `${thickness(part.perSecond)}px`);
		},
	};
}

// Each factor of ten adds the same.
function thickness(perSecond) {
	return perSecond > 100 ? Math.min(10, 1.25 * Math.log10(perSecond) - 1.5) : 1;
}
