# The document's line, with its `-header` corrected and its comment left out; what its table of
# responses says; and the same key where the content type was forgotten.
status() { curl -s --cacert "$CA" -o /dev/null -w '%{http_code}\n' "$@"; }
status -X POST "https://$BASE/api" \
    --header "Content-Type: application/json" \
    --header "Authorization: Bearer $KEY" \
    --data '{
        "command": "create_dataset",
        "params": {
            "name": "Customers List",
            "solution_id": "sol_cv33u4n0i6q45p93i930",
            "description": "Customers list 4",
            "source": "https://example.com/dataset.csv",
            "slug": "customers_list"
        }
    }'
status -X POST "https://$BASE/api" --header "Content-Type: application/json" --data '{"command": "create_dataset"}'
status -X POST "https://$BASE/api" --header "Authorization: Bearer $KEY" --data '{"command": "create_dataset"}'
