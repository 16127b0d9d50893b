// The questions that are asked in dialogs.

import {$, text} from './dom.js';
import {setToken, token} from './net.js';
import {connect} from './store.js';

// What the dialog was closed with; empty when it was cancelled.
export function ask(dialog) {
	if (!dialog.open) {
		dialog.returnValue = '';
		dialog.showModal();
	}
	return new Promise(done => dialog.addEventListener('close', () => done(dialog.returnValue), {once: true}));
}

export async function askToken(why) {
	text($('token-why'), why);
	// Two may ask at once; what is typed is for both.
	if (!$('token-dialog').open) $('token').value = '';
	$('forget-token').hidden = !token();
	const answer = await ask($('token-dialog'));
	if (answer) {
		setToken(answer === 'use' ? $('token').value : null);
		connect();
	}
	return answer === 'use';
}
