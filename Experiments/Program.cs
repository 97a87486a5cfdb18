return Imta.MetaWeight.Experiments.ImtaProgram.Run(args);
