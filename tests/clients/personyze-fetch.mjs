// The document's lines for JavaScript, and what no key at all gets.
const { BASE, KEY: API_KEY } = process.env;

const r = await fetch(
    `https://${BASE}/rest/users/where/internal_id=42`,
    { headers: { Authorization: 'Basic ' + btoa('api:' + API_KEY) } }
);
const data = await r.json();
console.log(data.headers.find(([name]) => name.toLowerCase() === 'x-account-id')[1]);

const refused = await fetch(`https://${BASE}/rest/users`);
console.log(refused.status, await refused.text());
