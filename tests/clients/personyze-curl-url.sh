# Credentials in the URL, as for ad-hoc testing.
curl -s --cacert "$CA" -o /dev/null -w '%{http_code}\n' \
    "https://api:$KEY@$BASE/rest/users/where/internal_id=42"
