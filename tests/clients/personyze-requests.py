"""The document's lines for Python, and what an unknown key gets."""

import os

import requests

BASE = os.environ["BASE"]
YOUR_API_KEY = os.environ["KEY"]

r = requests.get(
    f"https://{BASE}/rest/users/where/internal_id=42",
    auth=("api", YOUR_API_KEY),
)
r.raise_for_status()
data = r.json()
print(next(value for name, value in data["headers"] if name.lower() == "x-account-id"))

r = requests.get(f"https://{BASE}/rest/users", auth=("api", "nobodys-key-0123456789"))
print(r.status_code, r.text)
