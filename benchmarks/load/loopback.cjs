// Required before a program that has no option for it: whatever it listens on is on loopback.
const { Server } = require("node:net");

const listen = Server.prototype.listen;
Server.prototype.listen = function (first, ...rest) {
  if (first !== null && typeof first === "object") {
    return listen.call(this, { ...first, host: "127.0.0.1" }, ...rest);
  }
  const callbacks = rest.filter((each) => typeof each === "function");
  return listen.call(this, { port: Number(first), host: "127.0.0.1" }, ...callbacks);
};
