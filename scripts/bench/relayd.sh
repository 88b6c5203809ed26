# shellcheck shell=bash
# Our side in the bench rig: set BENCH_PEERS to this folder and PRODUCT_BIN to the folder of release
# binaries; the rig itself stays where it is.
# shellcheck source=/dev/null
. "$BENCH_DIR/peers/_verbs.sh"
: "${PRODUCT_BIN:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../target/release" && pwd)}"
p_binpkgs() { echo relayd; }
p_install() {
  mkroot relayd || return
  dpkgq "$R" > "$R/.before"
  chroot "$R" useradd --system --home-dir /var/spool/relayd --shell /usr/sbin/nologin relayd 2> /dev/null
  install -m 755 "$PRODUCT_BIN"/{sendmail,postqueue,relayd,relayctl} "$R/usr/sbin/"
  install -m 755 "$PRODUCT_BIN/mailq" "$R/usr/bin/mailq"
  printf 'relayd %s %s\n' "$("$PRODUCT_BIN/relayd" --version | awk '{print $2}')" \
    "$(du -ck "$PRODUCT_BIN"/{sendmail,mailq,postqueue,relayd,relayctl} | awk 'END{print $1}')" > "$R/.after"
}
p_configure() {
  trustca relayd
  install -m 755 "$PRODUCT_BIN"/{sendmail,postqueue,relayd,relayctl} "$R/usr/sbin/"
  install -m 755 "$PRODUCT_BIN/mailq" "$R/usr/bin/mailq"
  mkdir -p "$R/etc/relayd/secrets"
  cat > "$R/etc/relayd/relayd.conf" <<X
hostname = client.bench.test
domain = client.bench.test
${RELAYD_TOP:-}

[gateway bench]
host = $GATEWAY
port = $GW_PORT
user = $GW_USER
password_file = secrets/bench
max_connections = $CONC
ca_file = /etc/ssl/certs/bench-ca.pem

[listen]
smtp = 127.0.0.1:25
X
  printf '%s\n' "$GW_PASS" > "$R/etc/relayd/secrets/bench"
  chroot "$R" sh -c 'chown -R relayd: /etc/relayd/secrets && chmod 700 /etc/relayd/secrets && chmod 600 /etc/relayd/secrets/bench'
}
p_start() { nsx relayd relayd > "$RUN/relayd.log" 2>&1 & }
p_stop() { [ -e "$RUN/relayd.pid" ] && nsx relayd pkill -x relayd; :; }
p_queue() { echo mailq; }
p_flush() { echo 'postqueue -f'; }
# Held mail is accepted and not delivered: the gateway's port is one that nothing listens on.
p_hold() {
  case $1 in
    on) sed -i 's/^port = .*/port = 9/' "$R/etc/relayd/relayd.conf" ;;
    off) sed -i "s/^port = .*/port = $GW_PORT/" "$R/etc/relayd/relayd.conf" ;;
  esac
  running && nsx relayd pkill -HUP -x relayd
  :
}
p_purge() { find "$R/var/spool/relayd" -type f ! -path '*/state/*' -delete 2> /dev/null; :; }
p_spool() { echo /var/spool/relayd; }
dispatch "$@"
