curl --location --request GET "<maestro-url>/schedulers/info?game=<your-game-name-here>" \
 --header "Accept: application/json" \
 --header "Authorization: Basic <user:pass in base64>"
