// Logs an operator in with a wallet of the browser (EIP-1193): it signs the scheduler's challenge, the form sends it.
"use strict";

const form = document.getElementById("login");
const sign = document.getElementById("sign");
const says = document.getElementById("login-says");

async function challenge(wallet) {
  const answer = await fetch("/operators/challenge", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ wallet }),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${said.message}. ${said.hint}`);
  return said;
}

async function login() {
  sign.disabled = true;
  says.textContent = "Asking the wallet …";
  try {
    const wallets = await window.ethereum.request({ method: "eth_requestAccounts" });
    const asked = await challenge(wallets[0]);
    const typed = JSON.parse(form.dataset.typed);
    typed.message = { operator: wallets[0], nonce: asked.nonce, expires: asked.expires };
    const signature = await window.ethereum.request({
      method: "eth_signTypedData_v4", params: [wallets[0], JSON.stringify(typed)],
    });
    const values = { wallet: wallets[0], nonce: asked.nonce, expires: asked.expires, signature };
    for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
    form.submit();
  } catch (error) {
    says.textContent = error?.code === 4001 ? "The wallet's owner has refused." : String(error?.message ?? error);
    sign.disabled = false;
  }
}

if (form) {
  const there = () => {
    sign.disabled = !window.ethereum;
    says.textContent = window.ethereum ? "" : "There is no wallet in this browser: use the link.";
  };
  there();
  window.addEventListener("ethereum#initialized", there, { once: true });
  sign.addEventListener("click", login);
}
