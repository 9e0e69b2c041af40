# The document has no lines of its own; these are its flows: a workspace's key for a token, calls
# with it, Basic, refreshing, and a profile with simple authentication.
ask() { curl -s --cacert "$CA" "$@"; }
status() { ask -o /dev/null -w '%{http_code}\n' "$@"; }
token() { sed -n 's/.*"token":"\([^"]*\)".*/\1/p'; }
api="https://$BASE"
json="Content-Type: application/json"

key=$(ask "$api/uauth/v2/auth/login/profile" -H "$json" -d "{\"apiKey\": \"$KEY\"}" | token)
status -H "Authorization: Bearer $key" "$api/v4/settings"
fresh=$(ask -H "Authorization: Bearer $key" "$api/uauth/v2/auth/refresh" | token)
[ "$fresh" != "$key" ] && status -H "Authorization: Bearer $fresh" "$api/v4/settings"
status -u "$ACCOUNT:$KEY" "$api/v4/settings"
status -u "api:$KEY" "$api/v4/settings"
status -H "Authorization: Bearer $KEY" "$api/v4/settings"

echo profile
simple="$api/sauth/v3/auth/login/client/simple"
status "$simple" -H "$json" -d "{\"apiKey\": \"$APP\", \"email\": \"anna@example.com\", \"salt\": \"x\"}"
anna=$(ask "$simple" -H "$json" \
    -d "{\"apiKey\": \"$APP\", \"email\": \"anna@example.com\", \"salt\": \"$SALT\"}" | token)
as() { status -H "Authorization: Bearer $anna" "$@"; }
as "$api/v4/clients/anna@example.com"
as "$api/v4/clients/bert@example.com"
as "$api/v4/settings"
as "$api/v4/events/custom" -H "$json" -d '{"action": "page.visit", "label": "x"}'
as "$api/v4/events/custom" -H "$json" -d '[{"action": "page.visit"}, {"action": "points.add"}]'
as -X PUT "$api/v4/my-account/personal-information" -H "$json" -d '{"firstName": "Anna"}'
as -X PUT "$api/v4/my-account/personal-information" -H "$json" -d '{"address": "Main Street"}'
