# The document's line; the same with a write method; the same without asking for JSON.
url="https://$BASE/admin/events"
status() { curl -s --cacert "$CA" -o /dev/null -w '%{http_code}\n' "$@"; }
status -H "Authorization: Bearer $KEY" -H "Accept: application/json" "$url"
status -X DELETE -H "Authorization: Bearer $KEY" -H "Accept: application/json" "$url"
status -H "Authorization: Bearer $KEY" "$url"
