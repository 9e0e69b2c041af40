# The header built by hand.
curl -s --cacert "$CA" -o /dev/null -w '%{http_code}\n' \
    "https://$BASE/rest/users/where/internal_id=42" \
    -H "Authorization: Basic $(printf 'api:%s' "$KEY" | base64)"
