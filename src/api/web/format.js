// Numbers and words as people read them.

export const NONE = '–';

export function bytes(count) {
	if (count == null) return NONE;
	const units = 'B kB MB GB TB PB'.split(' ');
	let unit = 0;
	for (; count >= 999.5 && unit < 5; unit += 1) count /= 1000;
	return `${count.toFixed(unit && 1)} ${units[unit]}`;
}

export const rate = perSecond => `${bytes(perSecond)}/s`;

export function duration(ms) {
	if (ms == null) return NONE;
	const seconds = Math.max(0, ms) / 1000;
	if (seconds < 10) return `${seconds.toFixed(1)} s`;
	const [days, hours, minutes] = [86400, 3600, 60].map(unit => Math.floor(seconds / unit));
	if (days) return `${days} d ${hours % 24} h`;
	if (hours) return `${hours} h ${minutes % 60} min`;
	return `${minutes ? `${minutes} min ` : ''}${Math.floor(seconds % 60)} s`;
}

export const ago = ms => (ms == null ? NONE : `${duration(ms)} ago`);

export const percent = share => `${Math.round(share * 100)} %`;

export const count = (number, one) => `${number} ${one}${number === 1 ? '' : 's'}`;

export const shortId = id => id.slice(-8);

// The shape before the word tells a state too, not colour alone.
const SHAPES = {
	agreeing: '◌', starting: '◔', running: '▸', complete: '✓', failed: '✗',
	here: '◆', up: '✓', ready: '✓', draining: '◔', avoided: '◇', out: '○', absent: '✗', critical: '!',
};

export const stateText = state => `${SHAPES[state] ?? '?'} ${state}`;

const SIGNALS = 'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM'.split(' ');

export function exitText(exit) {
	if (exit?.code != null) return `exit ${exit.code}`;
	if (exit?.signal) return `SIG${SIGNALS[exit.signal - 1] ?? ` ${exit.signal}`}`;
	return exit?.replace('-', ' ') ?? NONE;
}
