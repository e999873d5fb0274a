// The wallet's page: what is in it, what is offered, what is asked, and who asked before. Text is set as text, never as HTML.

import * as exchange from './wallet-exchange.js';
import { holder, load, save } from './wallet-keys.js';
import { concealable, match, said } from './wallet-query.js';

const HISTORY_MAX = 1000; // lines; the oldest goes first
const OUTCOMES = {
  valid: 'They found it valid.',
  refused: 'They did not find it valid.',
  unknown: 'They could not check all of it.',
};
const part = (name) => document.getElementById(name);
let me;
let kept = [];
let history = [];

function element(tag, text = '', attributes = {}) {
  const found = document.createElement(tag);
  found.textContent = text;
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  return found;
}

function say(text, bad = false) {
  part('wallet-said').textContent = text;
  part('wallet-said').className = bad ? 'bad' : '';
}

const when = (ms) => new Date(ms).toISOString().replace('T', ' ').slice(0, 16) + ' UTC';

function facts(pairs) {
  const found = element('dl');
  for (const [name, value] of pairs) {
    const row = element('div');
    row.append(element('dt', name), element('dd', typeof value === 'string' ? value : JSON.stringify(value)));
    found.append(row);
  }
  return found;
}

// What a credential says about its holder, without what makes it hold.
const TECHNICAL = ['id', 'cnf', 'vct', 'iss', 'ledger', 'credentialStatus', 'nbf', 'exp', 'iat'];
function claims(each) {
  const found = said(each).claims;
  const about = each.format === 'ldp_vc' ? found.credentialSubject : found;
  return Object.entries(about).filter(([name]) => !TECHNICAL.includes(name));
}

function show() {
  const cards = kept.map((each, place) => {
    const card = element('li', '', { class: 'card' });
    const forget = element('button', 'Forget', { type: 'button', class: 'quiet' });
    forget.addEventListener('click', () => act(async () => {
      if (!window.confirm('Forget this credential? The issuer would have to offer it again.')) return;
      await keepAll(kept.filter((_, at) => at !== place));
    }));
    card.append(element('h3', said(each).type), facts([['From', each.name || each.issuer], ...claims(each)]), forget);
    return card;
  });
  part('wallet-cards').replaceChildren(...cards);
  part('wallet-none').hidden = kept.length > 0;
  const lines = [...history].reverse().map((line) => {
    const found = element('li');
    const what = line.types.length ? `You showed: ${line.types.join(', ')}.` : 'You said no.';
    const came = line.types.length ? OUTCOMES[line.outcome] ?? 'They signed nothing about it.' : '';
    found.append(element('strong', line.name || line.client), element('p', `${when(line.at)}. ${line.purpose}. ${what} ${came}`));
    return found;
  });
  part('wallet-history').replaceChildren(...lines);
}

async function keepAll(next) {
  await save('credentials', next);
  kept = next;
  show();
}

async function remember(found, types, answer) {
  const line = {
    at: Date.now(), name: found.name, client: found.client, purpose: found.purpose, types,
    outcome: answer.outcome, acknowledgement: answer.acknowledgement,
  };
  history = [...history, line].slice(-HISTORY_MAX);
  await save('history', history);
  show();
}

// Does one thing after the other, and says what went wrong.
let last = Promise.resolve();
function act(what) {
  last = last.then(what).catch((error) => say(error.message || 'That did not work.', true));
  return last;
}

function button(text, what) {
  const found = element('button', text, { type: 'button' });
  found.addEventListener('click', () => {
    for (const each of part('wallet-choice').querySelectorAll('button')) each.disabled = true; // one answer to one question
    act(what);
  });
  return found;
}

const close = () => part('wallet-choice').replaceChildren();

async function offered(link) {
  const found = await exchange.offer(link);
  const rows = facts([['From', found.issuer], ['What', found.configuration]]);
  const secret = element('input', '', { id: 'wallet-secret', inputmode: 'numeric', autocomplete: 'off', maxlength: '16' });
  const asked = element('p', '', { class: 'field' });
  asked.append(element('label', 'Code that the issuer told you', { for: 'wallet-secret' }), secret);
  const take = button('Take it', async () => {
    await exchange.receive(found, secret.value.trim(), me, (each) => keepAll([...kept, each]));
    close();
    say('It is in your wallet.');
  });
  part('wallet-choice').replaceChildren(element('h2', 'You are offered a credential'), rows, ...(found.secret ? [asked] : []), take);
}

// What a verifier would get to know: of a credential in parts those that it asked for, and what was never hidden.
const WITH_IT = ['With it', 'the name of your key, the issuer, the dates, and its places in the ledger and the status lists'];
function disclosed({ kept: each, claims: wanted }) {
  if (each.format === 'ldp_vc') return [...claims(each), WITH_IT];
  const names = wanted.map((claim) => claim.path[0]);
  const hidden = concealable(each);
  return [...claims(each).filter(([name]) => names.includes(name) || !hidden.includes(name)), WITH_IT];
}

async function asked(link) {
  const found = await exchange.request(link);
  const showing = match(found.query, kept);
  const parts = showing.flatMap((each) => [element('h3', said(each.kept).type), facts(disclosed(each))]);
  const types = showing.map((each) => said(each.kept).type);
  const yes = button('Show this', async () => {
    const answer = await exchange.present(found, showing, me);
    await remember(found, types, answer);
    close();
    say(OUTCOMES[answer.outcome] ?? 'It was shown. They signed nothing about it.');
  });
  const no = button('Do not show', async () => {
    await remember(found, [], await exchange.decline(found));
    close();
    say('Nothing was shown.');
  });
  const row = element('p', '', { class: 'row' });
  row.append(yes, no);
  const who = facts([['Who asks', found.name || 'They do not say'], ['Why', found.purpose], ['Where it goes', found.address]]);
  part('wallet-choice').replaceChildren(
    element('h2', 'You are asked to show this'), who, ...parts,
    element('p', 'This leaves your wallet when you press the button, and goes to nobody else.'), row,
  );
}

async function open(link) {
  say('');
  close();
  await (/^openid4vp:|[?&]client_id=/.test(link.trim()) ? asked(link) : offered(link));
  part('wallet-choice').focus();
}

async function photo(file) {
  if (!('BarcodeDetector' in window)) throw new Error('This browser cannot read photos of codes: paste the link instead.');
  const found = await new BarcodeDetector({ formats: ['qr_code'] }).detect(await createImageBitmap(file));
  if (found.length !== 1) throw new Error('One code is needed, whole and sharp.');
  await open(found[0].rawValue);
}

function exported() {
  const data = JSON.stringify({ v: 1, holder: me.did, credentials: kept, history }, null, 1);
  const link = element('a', '', { download: 'wallet.json' });
  link.href = URL.createObjectURL(new Blob([data], { type: 'application/json' }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function start() {
  me = await holder();
  kept = (await load('credentials')) ?? [];
  history = (await load('history')) ?? [];
  part('wallet-did').textContent = me.did;
  part('wallet-app').hidden = false;
  show();
  part('wallet-open').addEventListener('submit', (event) => {
    event.preventDefault();
    act(() => open(part('wallet-link').value));
  });
  part('wallet-photo').addEventListener('change', (event) => {
    if (event.target.files.length) act(() => photo(event.target.files[0]));
  });
  part('wallet-export').addEventListener('click', exported);
  const given = decodeURIComponent(window.location.hash.slice(1)); // a link to this page with an offer in it: no server sees it
  if (given.startsWith('openid')) {
    window.history.replaceState(null, '', window.location.pathname);
    await open(given);
  }
}

act(start);
