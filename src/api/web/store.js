// What is known of the node and its pipes.

import {every, follow, json} from './net.js';

const KEPT = 200;
const SAMPLES = 300;
const POLL_MS = 5000;
const POLLED = 'every 5 s';

export const store = {
	self: null,
	pipes: new Map(),
	leftOut: 0,
	silent: [],
	cluster: false,
	connection: 'connecting',
	history: [],
	problems: new Map(),
	notice: '',
};

let changed = () => {};
let running = new AbortController();
let reload = null;

export function onChange(listener) {
	changed = listener;
}

// Remembers what went wrong. That a token is wanted, or that the node is not reached, the connection tells.
export async function attempt(source, action) {
	const error = await action().then(() => null, reason => reason);
	const told = error && error.status !== 401 && (error.status || source === 'action');
	if (told) store.problems.set(source, error.message);
	else store.problems.delete(source);
	changed();
	return error;
}

export function notify(notice) {
	store.notice = notice;
	setTimeout(() => store.notice === notice && notify(''), 8000);
}

export const isConnected = () => ['live', POLLED].includes(store.connection);

export const isLive = ({state}) => state !== 'complete' && state !== 'failed';

export const elapsedOf = pipe => pipe.elapsed_ms + (isLive(pipe) ? Date.now() - pipe.received : 0);

export const endedAgo = pipe => pipe.age_ms + Date.now() - pipe.received - pipe.elapsed_ms;

// Rate behind the stage with this number: 0 is the client's input, the last is its output.
export const linkRate = ({stages}, number) => stages[number - 1]?.rate_out ?? stages[number]?.rate_in;

// Each the newest first.
export function sorted() {
	const all = [...store.pipes.values()];
	return {
		live: all.filter(isLive).sort((a, b) => b.began_ms - a.began_ms),
		finished: all.filter(pipe => !isLive(pipe)).sort((a, b) => endedAgo(a) - endedAgo(b)),
	};
}

// Lists and events overtake each other: an end is final, and else the pipe that ran longer is later.
export function put(pipe) {
	const old = store.pipes.get(pipe.pipe);
	const later = !old || (isLive(old) === isLive(pipe) ? pipe.elapsed_ms >= old.elapsed_ms : isLive(old));
	if (later) store.pipes.set(pipe.pipe, {...pipe, received: Date.now()});
}

async function load(signal) {
	const asked = Date.now();
	const list = await json(`/v1/pipes?all=true&limit=${KEPT}${store.cluster ? '&cluster=true' : ''}`);
	if (signal.aborted) return;
	const listed = new Set(list.pipes.map(({pipe}) => pipe));
	for (const [id, {received}] of store.pipes) if (!listed.has(id) && received < asked) store.pipes.delete(id);
	list.pipes.forEach(put);
	store.leftOut = list.left_out;
	store.silent = list.silent;
}

function loadAgain(ms) {
	const {signal} = running;
	clearTimeout(reload);
	reload = setTimeout(() => every(POLL_MS, signal, async () => Boolean(await attempt('pipes', () => load(signal)))), ms);
}

const LISTENERS = {
	hello() {
		store.connection = 'live';
		loadAgain(0);
	},
	pipe: put,
	lost({lost}) {
		notify(`${lost} changes were missed, so the list is loaded again.`);
		loadAgain(1000);
	},
};

function onEvent(event, data) {
	LISTENERS[event]?.(data);
	changed();
}

function ended(error) {
	store.connection = error?.status === 401 ? 'unauthorized' : 'reconnecting';
	attempt('pipes', async () => {if (error) throw error;});
}

// A connection may die without a word; this notices.
async function askSelf() {
	const error = await attempt('self', async () => {store.self = await json('/v1/self');});
	if (error && !error.status && isConnected()) connect();
}

async function poll(signal) {
	const error = await attempt('pipes', () => load(signal));
	if (signal.aborted) return false;
	if (error) ended(error);
	else store.connection = POLLED;
	return error?.status !== 401;
}

export function connect() {
	running.abort();
	running = new AbortController();
	const {signal} = running;
	store.connection = 'connecting';
	every(POLL_MS, signal, askSelf);
	if (store.cluster) every(POLL_MS, signal, () => poll(signal));
	else follow('/v1/events', signal, onEvent, ended);
	changed();
}

export function setCluster(cluster) {
	Object.assign(store, {cluster, pipes: new Map(), silent: [], history: []});
	connect();
}

// Takes a point of the charts.
export function sample() {
	if (!isConnected()) return;
	const {live, finished} = sorted();
	// A page that stays open for days must not keep every pipe it saw.
	const old = finished.slice(KEPT);
	for (const {pipe} of old) store.pipes.delete(pipe);
	store.leftOut += old.length;
	let rate = 0;
	for (const pipe of live) for (let link = 0; link <= pipe.stages.length; link += 1) rate += linkRate(pipe, link) ?? 0;
	store.history.push({at: Date.now(), rate, running: live.filter(({state}) => state === 'running').length});
	store.history = store.history.slice(-SAMPLES);
}
