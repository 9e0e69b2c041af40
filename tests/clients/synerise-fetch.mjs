// A profile that logs in with nothing but an address, and what it can reach.
const { BASE, APP, SALT } = process.env;
const api = `https://${BASE}`;
const json = (body, headers = {}) => ({
    method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body),
});

const login = await fetch(
    `${api}/sauth/v3/auth/login/client/simple`,
    json({ apiKey: APP, email: 'żółw@example.com', customId: '7', uuid: 'u 1', salt: SALT }),
);
const { token } = await login.json();
const headers = { Authorization: `Bearer ${token}` };

const mine = await fetch(`${api}/v4/clients/${encodeURIComponent('u 1')}`, { headers });
const told = new Map((await mine.json()).headers.map(([name, value]) => [name.toLowerCase(), value]));
console.log(told.get('x-profile-id'), told.get('x-profile-custom-id'), told.get('x-profile-email'));

for (const [path, body] of [['/v4/clients/7'], ['/v4/events/custom', { action: 'points.add' }]]) {
    const refused = await fetch(api + path, body ? json(body, headers) : { headers });
    console.log(refused.status, (await refused.json()).reason);
}
