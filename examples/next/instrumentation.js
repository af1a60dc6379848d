// What a crash has left is taken up when the server starts, not with the first request.
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { receiver } = await import("./receiver.js");
  receiver.start();
}
