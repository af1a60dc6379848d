// Webhooks in a Nest application, stored in an inbox and processed after the answer.
//
// cd examples/node && npm ci && ESIMHOOKS_WEBHOOK_SECRET=whsec_... npm run nest

import "reflect-metadata";

import { env } from "node:process";

import { Injectable, Module, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Receiver } from "esimhooks/receiver";

@Injectable()
class EsimWebhooks implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly receiver = new Receiver({
    secret: env.ESIMHOOKS_WEBHOOK_SECRET!,
    inbox: env.ESIMHOOKS_INBOX ?? "sqlite:///inbox.db",
    maxBodyBytes: 262_144,
  });

  constructor() {
    this.receiver.on("esim.activated", (event) => console.log(`${event.event} ${event.data.id}`));
  }

  onApplicationBootstrap(): void {
    this.receiver.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.receiver.close();
  }
}

@Module({ providers: [EsimWebhooks] })
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(AppModule, { logger: false });
  app.enableShutdownHooks();
  // Before listen(), that is before Nest's body parsers: the raw bytes are what is verified.
  app.use("/webhooks/esim", app.get(EsimWebhooks).receiver.listener);
  await app.listen(Number(env.PORT ?? 3000), "127.0.0.1");
  console.log(`listens on ${await app.getUrl()}`);
}

void main();
