// A line over the last five minutes.

import {attr, h, text} from './dom.js';

const SECONDS = 300;
const GAP_MS = 3000;

export function chart(title, key, format) {
	const [now, most, top] = [h('b'), h('span'), h('span')];
	const line = h('path');
	const plot = h('svg', {viewBox: `0 0 ${SECONDS} 100`, preserveAspectRatio: 'none', role: 'img'},
		h('path.grid', {d: `M0 1H${SECONDS}M0 50H${SECONDS}M0 99H${SECONDS}`}), line);
	const node = h('figure', {}, h('figcaption', {}, h('span', {}, title), now, most),
		h('div.scale', {}, top, h('span', {}, format(0))), plot, h('div.times', {}, h('span', {}, '5 min ago'), h('span', {}, 'now')));

	function draw(samples) {
		const highest = Math.max(0, ...samples.map(sample => sample[key]));
		const ceiling = roundUp(highest);
		const points = samples.map((sample, at) => {
			// A line over a time that nobody watched would be invented.
			const gap = !at || sample.at - samples[at - 1].at > GAP_MS;
			return `${gap ? 'M' : 'L'}${SECONDS - (Date.now() - sample.at) / 1000} ${99 - (98 * sample[key]) / ceiling}`;
		});
		attr(line, 'd', points.join(''));
		text(now, samples.length ? format(samples.at(-1)[key]) : '');
		text(most, `max ${format(highest)}`);
		text(top, format(ceiling));
		attr(plot, 'aria-label', `${title}: now ${now.textContent}, ${most.textContent}`);
	}
	return {node, draw};
}

// The next 1, 2 or 5 times a power of ten, which rarely changes.
function roundUp(value) {
	const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
	return [1, 2, 5, 10].map(times => times * power).find(round => round >= value);
}
