"""A command that the account has, one that it has not, and one with a name twice."""

import os

import requests

URL = f"https://{os.environ['BASE']}/api"
HEADERS = {"Authorization": f"Bearer {os.environ['KEY']}"}

r = requests.post(URL, headers=HEADERS, json={"command": "create_dataset", "params": {"name": "żółw"}})
r.raise_for_status()
data = r.json()
print(next(value for name, value in data["headers"] if name.lower() == "x-account-id"))

r = requests.post(URL, headers=HEADERS, json={"command": "delete_dataset"})
print(r.status_code, r.json()["reason"])

twice = '{"command": "create_dataset", "command": "delete_dataset"}'
r = requests.post(URL, headers={**HEADERS, "Content-Type": "application/json"}, data=twice)
print(r.status_code, r.json()["reason"])
