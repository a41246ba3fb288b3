# Runs Mosquitto, and has it read its users again whenever a scheduler has written them (nobody can signal it from another container).
touch /users/passwords
mosquitto -c /etc/pew-broker/mosquitto.conf &
broker=$!
trap 'kill "$broker"; wait "$broker"; exit 0' TERM INT
known=
while kill -0 "$broker" 2>/dev/null; do
    users=$(cksum < /users/passwords)
    if [ "$users" != "$known" ]; then
        [ -z "$known" ] || kill -HUP "$broker"
        known=$users
    fi
    sleep 2 &
    wait $!
done
exit 1
