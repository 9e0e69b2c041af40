"""A token for a workspace's key, Basic with the same key, and lists that a session runs into."""

import os

import requests

BASE, KEY = f"https://{os.environ['BASE']}", os.environ["KEY"]


def seen(response):
    response.raise_for_status()
    headers = {name.lower(): value for name, value in response.json()["headers"]}
    return headers["x-account-id"], headers["x-key-kind"]


login = requests.post(f"{BASE}/uauth/v2/auth/login/profile", json={"apiKey": KEY})
login.raise_for_status()
session = requests.Session()
session.headers["Authorization"] = f"Bearer {login.json()['token']}"
print(*seen(session.get(f"{BASE}/v4/settings")))
print(*seen(session.post(f"{BASE}/v4/events/custom", json={"action": "żółw", "label": "x"})))

account = os.environ["ACCOUNT"]
print(*seen(requests.get(f"{BASE}/v4/settings", auth=(account, KEY))))

twice = '{"action": "page.visit", "action": "points.add"}'
refused = session.post(f"{BASE}/v4/events/custom", data=twice)
print(refused.status_code, refused.json()["reason"])
latin = '{"action": "żółw"}'.encode("iso-8859-2")
refused = session.post(f"{BASE}/v4/events/custom", data=latin)
print(refused.status_code, refused.json()["reason"])
