// Requests, the token, and events. EventSource cannot send a token, so they are read with fetch.

const KEY = 'dpipes-token';
const REQUEST_MS = 15_000;

export const token = () => sessionStorage.getItem(KEY);

export function setToken(value) {
	if (value) sessionStorage.setItem(KEY, value);
	else sessionStorage.removeItem(KEY);
}

// An error without a `status` means that the server was not reached.
export async function request(path, options) {
	const headers = token() ? {Authorization: `Bearer ${token()}`} : {};
	const response = await fetch(path, {signal: AbortSignal.timeout(REQUEST_MS), cache: 'no-store', headers, ...options});
	if (response.ok) return response;
	const {status} = response;
	const {detail, help} = await response.json().catch(() => ({}));
	throw Object.assign(new Error(`${detail ?? `The server answered ${status}`}. ${help ?? ''}`), {status});
}

export const json = async path => (await request(path)).json();

const sleep = ms => new Promise(done => setTimeout(done, ms));

// Calls `step` now and then every `ms`, until the signal or until it says `false`.
export async function every(ms, signal, step) {
	while (!signal.aborted && (await step()) !== false) await sleep(ms);
}

// Is fed with pieces of text/event-stream that are cut anywhere.
export function eventParser(emit) {
	let rest = '';
	let event = '';
	let data = [];
	function take(line) {
		const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
		if (field === 'event') event = value;
		if (field === 'data') data.push(value);
		if (line) return;
		if (data.length) emit(event, data.join('\n'));
		event = '';
		data = [];
	}
	return piece => {
		// A CR at the very end may be half of a CRLF: it waits for the next piece.
		const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
		rest = lines.pop();
		lines.forEach(take);
	};
}

async function readEvents(path, signal, emit) {
	const {body} = await request(path, {signal});
	const feed = eventParser((event, data) => emit(event, JSON.parse(data)));
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	for (let part = await reader.read(); !part.done; part = await reader.read()) feed(part.value);
}

// Reads events until the signal; connects again after 1 to 10 seconds, unless a token is wanted.
export async function follow(path, signal, emit, ended) {
	let wait = 1000;
	while (!signal.aborted) {
		const error = await readEvents(path, signal, (event, data) => {
			wait = 1000;
			emit(event, data);
		}).catch(reason => reason);
		if (signal.aborted) return;
		ended(error);
		if (error?.status === 401) return;
		await sleep(wait);
		wait = Math.min(wait * 2, 10_000);
	}
}
