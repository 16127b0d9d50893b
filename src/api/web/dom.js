// What comes from the server becomes text: there is no way from a name to markup.

const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;

export const $ = id => document.getElementById(id);

// Text with its control and direction characters made visible, except those in `keep`.
export function shown(value, keep = '') {
	return String(value ?? '').replace(UNSEEN, char => (keep.includes(char) ? char : `\\u{${char.codePointAt(0).toString(16)}}`));
}

export function text(node, value, keep) {
	const now = shown(value, keep);
	if (node.textContent !== now) node.textContent = now;
}

export function attr(node, key, value) {
	if (value == null) node.removeAttribute(key);
	else node.setAttribute(key, value);
}

// `h('p#id.class', {title: 'x', click: listener}, 'text', node)`
export function h(what, props = {}, ...children) {
	const [, tag, id, kind] = /^(\w+)(?:#([\w-]+))?(?:\.(\w+))?$/.exec(what);
	const space = tag === 'svg' || tag === 'path' ? 'http://www.w3.org/2000/svg' : document.body.namespaceURI;
	const node = document.createElementNS(space, tag);
	for (const [key, value] of Object.entries({id, class: kind, ...props})) {
		if (typeof value === 'function') node.addEventListener(key, value);
		else attr(node, key, value);
	}
	node.append(...children.map(child => (child instanceof Node ? child : shown(child))));
	return node;
}

// A name of others, which cannot change the direction of the text around it.
export function name(value, tag = 'bdi') {
	return h(`${tag}.name`, {title: shown(value)}, value);
}

// Makes the children of `parent` those of `items`. Those that stay keep focus and open details.
export function keyed(parent, items, keyOf, make) {
	const wanted = new Map(items.map(item => [keyOf(item), item]));
	parent.made ??= new Map();
	for (const [key, {node}] of parent.made) {
		if (wanted.has(key)) continue;
		node.remove();
		parent.made.delete(key);
	}
	let place = parent.firstChild;
	for (const [key, item] of wanted) {
		const row = parent.made.get(key) ?? make(item);
		parent.made.set(key, row);
		if (row.node === place) place = place.nextSibling;
		else parent.insertBefore(row.node, place);
		row.update(item);
	}
}

// Gives the body.
export function table(parent, id, caption, headings) {
	const body = h('tbody');
	const heads = headings.map(heading => h('th', {scope: 'col'}, heading));
	parent.append(h('div.wide', {tabindex: 0, role: 'region', 'aria-label': caption},
		h(`table#${id}`, {}, h('thead', {}, h('tr', {}, ...heads)), body)));
	return body;
}

// `cellsOf` tells the texts, or nodes, behind the heading.
export function tableRow(props, heading, cellsOf) {
	const node = h('tr', props, h('th', {scope: 'row'}, heading));
	const fill = (value, at) => {
		const cell = node.children[at + 1] ?? node.appendChild(h('td'));
		if (!(value instanceof Node)) text(cell, value);
		else if (cell.firstChild !== value) cell.append(value);
	};
	const update = item => {
		attr(node, 'data-state', item.state);
		cellsOf(item).forEach(fill);
	};
	return {node, update};
}

// All strings in it.
function words(item) {
	const json = JSON.stringify(item, (key, value) => (typeof value === 'number' ? undefined : value));
	return json.replace(/"\w+":/g, '').toLowerCase();
}

const filters = {};

// A filter that is still set when one comes back to the view.
export function makeFilter(view, changed) {
	const input = h('input#filter', {type: 'search', value: filters[view], input: keep});
	function keep() {
		filters[view] = input.value;
		changed();
	}
	const has = item => !input.value || words(item).includes(JSON.stringify(input.value.toLowerCase()).slice(1, -1));
	return [h('label', {}, 'Filter ', input), has];
}
