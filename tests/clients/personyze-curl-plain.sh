# Over plain HTTP; `-L` would follow a redirect if there were one.
curl -s -L -w '\n%{http_code}\n' "http://api:$KEY@$PLAIN/rest/users"
