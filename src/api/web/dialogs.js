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
	$('forget-token').hidden = !token();
	const answer = await ask($('token-dialog'));
	const given = $('token').value;
	$('token').value = '';
	if (answer) {
		setToken(answer === 'use' ? given : null);
		connect();
	}
	return answer === 'use';
}
