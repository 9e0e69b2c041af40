api >api.log 2>&1 &
API=$!
keygate init --preset minimal --self-signed gate >init.log
cd gate
cat >>keygate.toml <<'END'
[access_log]
file = "access.log"
user_agent = true
[audit_log]
file = "audit.log"
[metrics]
keys = 10
[[tls.certificate_for]]
names = ["other.example.com"]
certificate = "other.crt"
private_key = "other.key"
[[route]]
path = "/{*rest}"
in_flight = { max = 1, per = "account", queue = "1s" }
END
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 \
    -subj /CN=other.example.com -addext subjectAltName=DNS:other.example.com \
    -keyout other.key -out other.crt 2>openssl.log
keygate accounts create acme >accounts.log
KEY=$(keygate keys create --account acme 2>keys.log)
keygate run 2>log &
PID=$!
until curl -sf -o /dev/null http://127.0.0.1:3000/; do sleep 0.05; done
until keygate health >health.log 2>&1; do kill -0 $PID || break; sleep 0.05; done
for credential in "Authorization: Bearer $KEY" "X-None: 0"; do
    curl -s --cacert tls/server.crt -H "$credential" https://127.0.0.1:8443/things
done
